# Sourced by the other scripts: makes .venv in the checkout with one extra of pocketsight, and activates it.
# A second call reuses what is there, unless pyproject.toml has changed.
#   . scripts/venv.sh dev

python=""
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
  if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "pocketsight needs Python 3.11, 3.12 or 3.13; found: $(python3 --version 2>&1). Set PYTHON to another one." >&2
  exit 1
fi
if [ ! -x .venv/bin/python ]; then
  rm -rf .venv
  if ! "$python" -m venv .venv; then
    rm -rf .venv
    echo "cannot make a virtual environment with $python; on Debian: sudo apt install python3-venv" >&2
    exit 1
  fi
fi
. .venv/bin/activate
wanted=$(sha256sum pyproject.toml | cut -c1-64)
stamp=.venv/pocketsight-$1
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  echo "installing pocketsight[$1] into .venv (TensorFlow is large: a minute or more)"
  python -m pip install --quiet --disable-pip-version-check --editable ".[$1]" || exit 1
  echo "$wanted" > "$stamp"
fi
