#!/usr/bin/env bash
# uv 0.13.9 writes a version into a lock that pip 26.2 refuses on the same Python.
#
# `uv pip compile` ignores upper bounds of Requires-Python. backports.strenum 1.3.1 has `>=3.8.6,<3.11`, and
# ai-edge-litert 2.3.0 needs backports.strenum without a condition. For Python 3.11 uv locks 1.3.1, the newest; pip
# finds 1.2.8 as the newest that fits. A constraint file from uv then ends `pip install` with "ResolutionImpossible".
# Our locks exclude the version (scripts/requirements/compile.sh), and the script lets pip try each lock.
#
# Seen: uv: backports-strenum==1.3.1; pip: "1.3.1 Requires-Python >=3.8.6,<3.11", no matching distribution.
# Needs Python 3.11 as python3.11 and the package index. Exit status 1 if the behavior is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet pip==26.2 uv==0.13.9
echo "ai-edge-litert==2.3.0" >"$work/wanted.txt"
"$work/venv/bin/uv" pip compile --quiet --no-header --no-annotate --python-version 3.11 "$work/wanted.txt" |
  tee "$work/lock.txt"
grep --quiet '^backports-strenum==1.3.1$' "$work/lock.txt" || { echo "changed: uv locks another version"; exit 1; }
if "$work/venv/bin/python" -m pip install --dry-run --no-deps --requirement "$work/lock.txt" >"$work/pip.txt" 2>&1; then
  echo "changed: pip takes the lock"
  exit 1
fi
grep --only-matching '1\.3\.1 Requires-Python [^;]*' "$work/pip.txt"
grep 'No matching distribution found for backports-strenum' "$work/pip.txt"
