#!/usr/bin/env bash
# Sends a truth set through labeling tools and back: each tool, in an environment of its own, writes the set in its
# formats, and `pocketsight data import` reads them. Prints a table of errors. Takes 4 GB and some minutes at first.
#
#     scripts/labeling_tools/run.sh [FOLDER]    # of the environments and files; default: labeling-tools in the cache
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/pocketsight/labeling-tools}
mkdir -p "$work"

# Name of the script, and packages with their versions.
tools=(
  "supervision supervision==0.31.2 opencv-python-headless"
  "datumaro datumaro==1.13.12"
  "fiftyone fiftyone==1.22.1"
  "label_studio label-studio-sdk==2.1.2"
  "labelme labelme==6.3.1"
  "labelimg labelImg==1.8.6"
)
truth=$work/truth
exports=$work/exports
rm -rf "$truth" "$exports"
for line in "${tools[@]}"; do
  read -r name packages <<<"$line"
  python=$work/$name/bin/python
  if [ ! -x "$python" ]; then
    python3 -m venv "$work/$name"
    # shellcheck disable=SC2086 - several packages
    "$python" -m pip install --quiet $packages pillow
  fi
  [ -d "$truth" ] || "$python" "$here/truth.py" "$truth"
  mkdir -p "$exports/${name/_/}"
  (cd "$work" && env -u PYTHONPATH "$python" "$here/export_$name.py" "$truth" "$exports/${name/_/}" >"$work/$name.log" 2>&1) ||
    { tail -n 3 "$work/$name.log" >&2; exit 1; }
done
python3 "$here/compare.py" "$truth" "$exports"
