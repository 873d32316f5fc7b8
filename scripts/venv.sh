# Sourced by the other scripts: makes .venv in the checkout with one extra of pocketsight, and activates it.
# A second call reuses it, unless pyproject.toml or the lock file has changed, or the installation was interrupted.
#   . scripts/venv.sh dev               # the versions of scripts/requirements/dev-MACHINE.txt, if there is such a file
#   . scripts/venv.sh dev newest        # the newest versions that pyproject.toml allows, in .venv-newest
# Where there is the driver of an NVIDIA card, it adds the extra `gpu`, 4 GB. POCKETSIGHT_GPU=no or =yes decides otherwise.

extra=$1
newest=${2:-}
folder=.venv${newest:+-newest}
lock=scripts/requirements/$extra-$(uname -m).txt

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
# An interrupted `python -m venv` leaves a folder without pip; a second one completes it.
if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
  if ! "$python" -m venv "$folder"; then
    echo "cannot make a virtual environment with $python; on Debian: sudo apt install python3-venv" >&2
    exit 1
  fi
fi
. "$folder/bin/activate"

case ${POCKETSIGHT_GPU:-auto} in
  no) gpu= ;;
  yes) gpu=yes ;;
  auto) # the driver on Linux, and that of Windows in WSL2
    gpu=
    if [ -e /proc/driver/nvidia/version ] || [ -e /usr/lib/wsl/lib/nvidia-smi ] || nvidia-smi -L >/dev/null 2>&1; then
      gpu=yes
    fi ;;
  *) echo "POCKETSIGHT_GPU must be yes, no or auto, not $POCKETSIGHT_GPU" >&2; exit 1 ;;
esac
extras=$extra${gpu:+,gpu}

options=()
sources=(pyproject.toml)
if [ "$newest" ]; then
  options=(--upgrade --upgrade-strategy eager)
elif [ -e "$lock" ]; then
  options=(--constraint "$lock")
  sources+=("$lock")
fi
wanted=$(cat "${sources[@]}" | sha256sum | cut -c1-64)${gpu:+ with gpu}
stamp=$folder/pocketsight-$extra
unfinished=$folder/pocketsight-unfinished  # exists while packages change: after an interruption no extra is complete
if [ "$newest" ] || [ -e "$unfinished" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  if [ "$gpu" ]; then
    echo "this machine has an NVIDIA driver: CUDA's libraries come too (4 GB; without them: POCKETSIGHT_GPU=no $0)"
  fi
  echo "installing pocketsight[$extras] into $folder (TensorFlow is large: a minute or more)"
  rm -f "$stamp"
  if [ -e "$unfinished" ]; then
    # pip takes a package for installed as soon as it has its name, but writes RECORD, the list of its files, last.
    python - <<'REPAIR'
import shutil, sysconfig
from importlib.metadata import PathDistribution
from pathlib import Path
for folder in Path(sysconfig.get_path("purelib")).glob("*.dist-info"):
    files = PathDistribution(folder).files or []
    missing = [name for name in files if name.suffix != ".pyc" and not folder.parent.joinpath(name).exists()]
    if missing or not files:
        print(f"an installation was interrupted; installing again: {folder.name.removesuffix('.dist-info')}")
        shutil.rmtree(folder)
REPAIR
  fi
  touch "$unfinished"
  python -m pip install --quiet --disable-pip-version-check "${options[@]}" --editable ".[$extras]" || exit 1
  echo "$wanted" >"$stamp"
  rm "$unfinished"
fi
