#!/usr/bin/env bash
# Makes the lock files of this folder from pyproject.toml. Run it after a change there, and to take newer versions.
#
#   scripts/requirements/compile.sh                 # keeps the versions that still fit
#   scripts/requirements/compile.sh --upgrade       # takes the newest versions that pyproject.toml allows
#
# Needs uv and the package index. 3.11.2 is the Python of Debian 12. The files name no index, and they do not name pocketsight itself.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v uv >/dev/null || { echo "uv is missing; install it with: pipx install uv" >&2; exit 1; }
folder=$PWD/scripts/requirements
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compile TARGET ENVIRONMENT OPTIONS...: resolves some extras for the platforms that a PEP 508 marker describes.
compile() {
  local target=$folder/$1 environment=$2
  shift 2
  { cat pyproject.toml; printf '\n[tool.uv]\nenvironments = ["%s"]\n' "$environment"; } >"$work/pyproject.toml"
  # pip obeys an upper bound of Requires-Python, uv does not: backports.strenum 1.3.1 ends before Python 3.11.
  echo "backports.strenum<1.3" >"$work/constraints.txt"
  # From its folder: uv reads [tool.uv] of the pyproject.toml around it.
  (cd "$work" && uv pip compile --quiet --universal --no-header --no-annotate --no-emit-index-url \
    --python-version 3.11.2 --constraint constraints.txt --output-file "$target" "$@" pyproject.toml)
  # Each file serves one platform, so its markers need not name it.
  sed -i "/^ *#/d; /^$/d; s/ and platform_machine == '[^']*'//; s/ and sys_platform == 'linux'//
    s/ and python_full_version < '3.14'//; s/ ; python_full_version < '3.14'$//
    1i # Made by scripts/requirements/compile.sh; do not edit it by hand." "$target"
  echo "${target##*/}: $(grep --count == "$target") packages"
}

# board NAME MARKER NUMPY: a board's numpy is the one that apt built OpenCV and picamera2 for, so the file leaves it out.
board() {
  echo "numpy==$3" >"$work/numpy.txt"
  compile "$1" "$2" --extra board --extra mqtt --extra web --constraint "$work/numpy.txt" --no-emit-package numpy \
    "${upgrade[@]}"
  sed -i "s/ ; .*//" "$folder/$1"
}

upgrade=("$@")
compile dev-x86_64.txt "sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.14'" \
  --extra dev --extra gpu "${upgrade[@]}"
# The same versions as in the file for developers, so that one .venv serves both. Only a GPU takes CUDA's libraries.
compile demo-x86_64.txt "sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.14'" \
  --extra demo --extra gpu --constraint "$folder/dev-x86_64.txt" --upgrade
# Debian 12 and 13, as Raspberry Pi OS has them.
linux="sys_platform == 'linux'"
board board-aarch64-py311.txt "$linux and platform_machine == 'aarch64' and python_version == '3.11'" 1.24.2
board board-aarch64-py313.txt "$linux and platform_machine == 'aarch64' and python_version == '3.13'" 2.2.4
board board-armv7l-py311.txt "$linux and platform_machine == 'armv7l' and python_version == '3.11'" 1.24.2

# Proof that pip takes each file: it obeys markers and Requires-Python by other rules than uv. It may download what it
# checks, so the 4 GB of CUDA are left out; their wheels serve every Python.
for python in python3.11 python3.12 python3.13; do
  "$python" -m pip --version >/dev/null 2>&1 || { echo "not checked: there is no $python" >&2; continue; }
  for name in dev demo; do
    grep --invert-match '^nvidia-' "$folder/$name-x86_64.txt" >"$work/$name.txt"
    "$python" -m pip install --quiet --dry-run --no-deps --ignore-installed --requirement "$work/$name.txt" ||
      { echo "pip of $python cannot install $name-x86_64.txt" >&2; exit 1; }
  done
done
