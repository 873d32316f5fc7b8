#!/usr/bin/env bash
# pocketsight on ARM boards emulated by qemu: a Raspberry Pi 4, a Pi 5 and a 32-bit board. Runs doctor, verify and run on
# a short clip, from the installed wheel. The log must be equal to that of this machine.
#
#   scripts/emulate/run.sh                   # all three; the first call builds their systems, without root
#   scripts/emulate/run.sh pi4               # or pi5, or armhf
#   scripts/emulate/run.sh --machine         # boots a whole board with its own kernel and virtual cameras
#
# OpenCV and numpy are Debian's, as scripts/setup_pi.sh installs them; the interpreter is a wheel. OpenCV's own wheel is
# tested too; it scales differently, so its log may differ a little. All files are kept in .venv-emulated (or EMULATED)
# for the next call. Status 75: the package index or Debian's mirror is not reachable.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
work=${EMULATED:-$here/.venv-emulated}
. "$here/scripts/emulate/debian.sh"
quiet=(--quiet --disable-pip-version-check)
boards=("$@")
[ $# = 0 ] && boards=(pi4 pi5 armhf)
[ "$*" = --machine ] && boards=(machine)

program() { command -v "$1-static" || command -v "$1"; }  # of the package qemu-user-static or of qemu-user

check() {
  local missing=()
  for board in "${boards[@]}"; do
    [[ $board =~ ^(pi4|pi5|armhf)$ || $* = --machine ]] || die "unknown board '$board'; use pi4, pi5 or armhf"
  done
  { program qemu-aarch64 && program qemu-arm; } >/dev/null || missing+=(qemu-user)
  command -v dpkg-deb >/dev/null || missing+=(dpkg)
  command -v apt-get >/dev/null || missing+=(apt)
  [ -e $keys ] || missing+=(debian-archive-keyring)
  if [ "$*" = --machine ]; then
    command -v qemu-system-aarch64 >/dev/null || missing+=(qemu-system-arm)
    command -v cpio >/dev/null || missing+=(cpio)
    PATH=$PATH:/usr/sbin command -v depmod >/dev/null || missing+=(kmod)
  fi
  [ ${#missing[@]} = 0 ] || die "programs are missing: sudo apt install ${missing[*]}"
  [ "$(uname -m)" = x86_64 ] || die "this needs an x86-64 machine to compare with, not $(uname -m)"
}

# find_python FROM BELOW: a Python of this machine, by its version
find_python() {
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    "$candidate" -c "import sys; sys.exit(not $1 <= sys.version_info < $2)" 2>/dev/null && echo "$candidate" && return
  done
  true
}

# environment NAME PYTHON PACKAGES...: a virtual environment of this machine, to compare with
environment() {
  local name=$1 python=$2
  shift 2
  [ -x "$work/$name/bin/python" ] || "$python" -m venv "$work/$name" || die "sudo apt install python3-venv"
  "$work/$name/bin/pip" install "${quiet[@]}" "$@" click
  "$work/$name/bin/pip" install "${quiet[@]}" --force-reinstall --no-deps "$wheel"
}

# wheels NAME PACKAGES AND OPTIONS...: wheels for another processor, installed once
wheels() {
  local name=$1 wanted=$*
  shift
  [ "$(cat "$work/$name/complete" 2>/dev/null)" = "$wanted" ] && return
  rm -rf "${work:?}/$name"
  "$pip" install "${quiet[@]}" --no-compile --only-binary=:all: --implementation cp --target "$work/$name" "$@"
  echo "$wanted" >"$work/$name/complete"
}

# arm ARCHITECTURE CPU PACKAGES WORDS...: Python of an emulated system; PACKAGES as in PYTHONPATH
arm() {
  local root=$work/$1 cpu=$2 packages=$3
  shift 3
  env -i PATH="$PATH" HOME="$work/home" LC_ALL=C.UTF-8 QEMU_CPU="$cpu" PYTHONHOME="$root/usr" \
    PYTHONPATH="$packages:$root/usr/lib/python3/dist-packages" timeout --foreground 600 "$root/python" "$@"
}

# board NAME ARCHITECTURE QEMU: writes the /proc files of the board (an interpreter that reads this machine's crashes), and
# a wrapper script as Python's executable, so that child processes start in qemu too: the kernel would refuse them.
board() {
  local root=$work/$2
  mkdir -p "$root/proc/device-tree"
  cp "$here/scripts/emulate/$1.cpuinfo" "$root/proc/cpuinfo"
  sed -n 's/^Model\t*: //p' "$root/proc/cpuinfo" | tr '\n' '\0' >"$root/proc/device-tree/model"
  printf '#!/bin/sh\nexec %s -L "%s" -0 "$0" "%s" "$@"\n' "$(program "$3")" "$root" "$root/usr/bin/python3" >"$root/python"
  chmod +x "$root/python"
}

# run_clip LOG COMMAND...: `pocketsight run` on the clip, once as a video and once as images
run_clip() {
  local log=$work/logs/$1.jsonl
  shift
  { "$@" run --threads 1 --camera clip/video.mkv && "$@" run --threads 1 --camera clip/images; } >"$log" 2>"$log.txt" ||
    { cat "$log.txt" >&2; die "pocketsight run failed"; }
}

# diagnose NAME ARCHITECTURE CPU PACKAGES: doctor and verify on a board. A probe of doctor may time out where emulation is
# slow; that is not a failure.
diagnose() {
  local pocketsight=(arm "$2" "$3" "$4" "$work/pocketsight/bin/pocketsight") log=$work/logs/$1-doctor.txt
  "${pocketsight[@]}" verify 2>"$log" | sed "s|^.*/|$1 verify: |" || { cat "$log" >&2; die "$1: pocketsight verify failed"; }
  "${pocketsight[@]}" doctor >"$log" 2>&1 || true
  local checks='(board|Python|interpreter|OpenCV|models) '
  grep --extended-regexp "^(ok|warn|fail) +$checks" "$log" | sed "s|^|$1 doctor: |; s|$work/||" ||
    { cat "$log" >&2; die "$1: pocketsight doctor failed"; }
  if grep --extended-regexp "^fail +$checks" "$log" | grep --quiet --invert-match 'did not end'; then
    die "$1: pocketsight doctor found a problem"
  fi
}

# compare NAME REFERENCE [--tolerant]
compare() {
  local result
  result=$(x86-64/bin/python "$here/scripts/emulate/compare_logs.py" "logs/$2.jsonl" "logs/$1.jsonl" "${@:3}") ||
    die "$1: the log differs from that of $2"
  echo "$1 run, compared with $2: $result"
}

pi() {
  local name=$1 cpu=$2 packages=$work/pocketsight:$work/arm64-packages
  board "$name" arm64 qemu-aarch64
  diagnose "$name" arm64 "$cpu" "$packages"
  # Both at once: the emulator takes one core for each.
  run_clip "$name-opencv-wheel" arm arm64 "$cpu" "$work/arm64-opencv:$packages" "$work/pocketsight/bin/pocketsight" &
  run_clip "$name" arm arm64 "$cpu" "$packages" "$work/pocketsight/bin/pocketsight" || { wait; exit 1; }
  wait $! || exit 1
  compare "$name" x86-64
  compare "$name-opencv-wheel" x86-64 --tolerant
}

prepare() {
  mkdir -p "$work"/{logs,home}
  local python
  python=$(find_python '(3, 11)' '(3, 14)')
  [ "$python" ] || die "pocketsight needs Python 3.11, 3.12 or 3.13; set PYTHON to one"
  [ -x "$work/x86-64/bin/pip" ] || "$python" -m venv "$work/x86-64" || die "on Debian: sudo apt install python3-venv"
  pip=$work/x86-64/bin/pip
  "$pip" download "${quiet[@]}" --no-deps --dest "$work/probe" click >/dev/null ||
    die "the package index is not reachable" 75
  rm -rf "$work"/{probe,pocketsight} "$work"/pocketsight-*.whl
  "$pip" wheel "${quiet[@]}" --no-deps --wheel-dir "$work" "$here"
  wheel=$(echo "$work"/pocketsight-*.whl)
  "$pip" install "${quiet[@]}" --no-compile --no-deps --target "$work/pocketsight" "$wheel"
  environment x86-64 "$python" ai-edge-litert opencv-python-headless
  x86-64/bin/python "$here/scripts/emulate/make_clip.py" clip
  run_clip x86-64 env -i HOME="$work/home" "$work/x86-64/bin/pocketsight"
}

prepare_arm64() {
  debian arm64 trixie arm64 base-files libgomp1 libstdc++6 python3 python3-click python3-numpy python3-opencv
  arm64_wheels
}

arm64_wheels() {
  local platforms=(--platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64)
  wheels arm64-packages --python-version 3.13 "${platforms[@]}" ai-edge-litert
  rm -rf "$work"/arm64-packages/numpy*  # Debian's, as on a Pi
  wheels arm64-opencv --python-version 3.13 "${platforms[@]}" --no-deps opencv-python-headless
}

prepare_armhf() {
  debian armhf bookworm armhf base-files python3 python3-click python3-numpy python3-opencv
  wheels armhf-packages --python-version 3.11 --platform manylinux_2_34_armv7l --no-deps tflite-runtime==2.14.0
}

armhf() {
  local packages=$work/pocketsight:$work/armhf-packages python
  board armhf armhf qemu-arm
  diagnose armhf armhf cortex-a15 "$packages"
  run_clip armhf arm armhf cortex-a15 "$packages" "$work/pocketsight/bin/pocketsight"
  compare armhf x86-64 --tolerant
  python=$(find_python '(3, 11)' '(3, 12)')
  [ "$python" ] || { echo "no Python 3.11 here, so armhf was not compared with tflite-runtime on x86-64"; return; }
  environment x86-64-tflite-runtime "$python" tflite-runtime==2.14.0 'numpy<2' 'opencv-python-headless<4.12'
  "$work/x86-64-tflite-runtime/bin/pocketsight" verify | sed "s|^.*/|tflite-runtime on x86-64 verify: |"
  run_clip x86-64-tflite-runtime env -i HOME="$work/home" "$work/x86-64-tflite-runtime/bin/pocketsight"
  compare armhf x86-64-tflite-runtime --tolerant
}

# qemu's `virt` machine with Debian's kernel, its virtual camera driver `vivid`, and picamera2 (a wheel) on libcamera's
# virtual camera. Its disk is an archive that the kernel unpacks into memory. OpenCV is the wheel: Debian's is four times
# as large.
machine() {
  local root=$work/machine log=$work/logs/machine.txt extra=$work/machine-extra
  debian machine trixie arm64 base-files coreutils dash grep kmod libgomp1 libstdc++6 linux-image-arm64 mount \
    libcamera-ipa python3 python3-click python3-libcamera python3-numpy
  arm64_wheels
  wheels machine-picamera2 --python-version 3.13 --no-deps picamera2==0.3.38 videodev2
  PATH=$PATH:/usr/sbin depmod -b "$root" "$(ls "$root/usr/lib/modules")"
  rm -rf "$extra"
  mkdir -p "$extra"/{opt,usr/share/libcamera/pipeline/virtual}
  cp -a pocketsight "$extra/opt/pocketsight"
  cp -a arm64-packages "$extra/opt/packages"
  cp -a arm64-opencv "$extra/opt/opencv"
  cp -a machine-picamera2 "$extra/opt/picamera2"
  cp "$here/scripts/emulate/picamera2_shim.py" "$extra/opt"
  cp "$here/scripts/emulate/virtual.yaml" "$extra/usr/share/libcamera/pipeline/virtual"
  cp "$here/scripts/emulate/init" "$extra/init"
  { (cd "$root" && find . \( -path ./boot -o -path ./usr/share \) -prune -o -print0 | cpio -0 --quiet -o -H newc)
    (cd "$extra" && find . -print0 | cpio -0 --quiet -o -H newc); } >machine.cpio
  rm -rf "$extra"
  timeout --foreground 1200 qemu-system-aarch64 -M virt -cpu cortex-a72 -accel tcg,thread=multi -smp 2 -m 3072 -nographic \
    -nic none -no-reboot -kernel "$root"/boot/vmlinuz-* -initrd machine.cpio \
    -append "console=ttyAMA0 rdinit=/init quiet panic=1" </dev/null | tr -d '\r' | tee "$log"
  rm machine.cpio
  [ "$(grep --count '^run --camera .*: status 0, 30 frames logged$' "$log")" = 2 ] ||
    die "a run on the machine failed"
}

check "$@"
mkdir -p "$work"
cd "$work"
work=$PWD
prepare
for board in "${boards[@]}"; do
  case $board in
    pi4) prepare_arm64; pi pi4 cortex-a72 ;;
    pi5) prepare_arm64; pi pi5 cortex-a76 ;;
    armhf) prepare_armhf; armhf ;;
    machine) machine ;;
  esac
done
echo "Times under emulation say nothing about a real board."
