#!/usr/bin/env bash
# pocketsight on ARM boards that are not at hand: a Raspberry Pi 4, a Pi 5 and one of 32 bits, whose processors qemu plays.
# Doctor, verify and a run on a short clip, from the installed wheel; the log must be that of this machine.
#
#   scripts/emulate/run.sh                   # all three; the first time it builds their systems, without root
#   scripts/emulate/run.sh pi4               # or pi5, or armhf
#   scripts/emulate/run.sh --machine         # boots a whole board with a kernel of its own, and cameras that are none
#
# OpenCV and numpy are Debian's, as scripts/setup_pi.sh installs them; the interpreter is a wheel. OpenCV's own wheel is
# tried too; it scales otherwise, so its log may differ a little. Everything lies in .venv-emulated (or EMULATED) and is
# used again. Status 75: the package index or Debian's mirror cannot be reached.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
place=${EMULATED:-$here/.venv-emulated}
mirror=${MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg
quiet=(--quiet --disable-pip-version-check)
boards=("$@")
[ $# = 0 ] && boards=(pi4 pi5 armhf)
[ "$*" = --machine ] && boards=(machine)

die() { echo "$1" >&2; exit "${2:-1}"; }

program() { command -v "$1-static" || command -v "$1"; }  # of the package qemu-user-static or of qemu-user

check() {
  local missing=()
  for board in "${boards[@]}"; do
    [[ $board =~ ^(pi4|pi5|armhf)$ || $* = --machine ]] || die "no board '$board'; there are pi4, pi5 and armhf"
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
  [ ${#missing[@]} = 0 ] || die "this needs programs of Debian: sudo apt install ${missing[*]}"
  [ "$(uname -m)" = x86_64 ] || die "this compares with x86-64, and this machine is none: $(uname -m)"
}

# python_of FROM BELOW: a Python of this machine, by its version
python_of() {
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    "$candidate" -c "import sys; sys.exit(not $1 <= sys.version_info < $2)" 2>/dev/null && echo "$candidate" && return
  done
  true
}

# debian NAME SUITE ARCHITECTURE PACKAGES...: unpacks them, and what they depend on, into $place/NAME. Nothing of it is run
# for that, and apt keeps its books beside, so that no root is needed.
debian() {
  local name=$1 suite=$2 arch=$3 root=$place/$1 books=$place/$1-apt
  shift 3
  [ "$(cat "$root/complete" 2>/dev/null)" = "$suite $*" ] && return
  echo "$name: Debian $suite for $arch, $*"
  rm -rf "$root"
  mkdir -p "$root" "$books"/{lists,archives}/partial
  : >"$books/status"
  echo "deb [signed-by=$keys] $mirror $suite main" >"$books/sources.list"
  local apt=(
    apt-get -qq -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Dir::State="$books"
    -o Dir::State::status="$books/status" -o Dir::Cache="$books" -o Dir::Etc::sourcelist="$books/sources.list"
    -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User= -o Debug::NoLocking=1 -o Acquire::Languages=none
    -o APT::Update::Error-Mode=any -o Acquire::Retries=2
  )
  "${apt[@]}" update || die "Debian's mirror cannot be reached: $mirror" 75
  "${apt[@]}" install --yes --no-install-recommends --download-only "$@" >/dev/null || die "apt cannot fetch: $*" 75
  for package in "$books"/archives/*.deb; do
    dpkg-deb -x "$package" "$root"
  done
  rm -rf "$books"
  for part in blas lapack; do  # what Debian's alternatives would link
    (cd "$root"/usr/lib/*-linux-gnu*/ && ln -sf "$part/lib$part.so.3" .)
  done
  echo "$suite $*" >"$root/complete"
}

# environment NAME PYTHON PACKAGES...: one of this machine, to compare with
environment() {
  local name=$1 python=$2
  shift 2
  [ -x "$place/$name/bin/python" ] || "$python" -m venv "$place/$name" || die "sudo apt install python3-venv"
  "$place/$name/bin/pip" install "${quiet[@]}" "$@" click
  "$place/$name/bin/pip" install "${quiet[@]}" --force-reinstall --no-deps "$wheel"
}

# wheels NAME PACKAGES AND OPTIONS...: those of another processor, once
wheels() {
  local name=$1 wanted=$*
  shift
  [ "$(cat "$place/$name/complete" 2>/dev/null)" = "$wanted" ] && return
  rm -rf "${place:?}/$name"
  "$pip" install "${quiet[@]}" --no-compile --only-binary=:all: --implementation cp --target "$place/$name" "$@"
  echo "$wanted" >"$place/$name/complete"
}

# arm ARCHITECTURE CPU PACKAGES WORDS...: Python of a system; PACKAGES as in PYTHONPATH
arm() {
  local root=$place/$1 cpu=$2 packages=$3
  shift 3
  env -i PATH="$PATH" HOME="$place/home" LC_ALL=C.UTF-8 QEMU_CPU="$cpu" PYTHONHOME="$root/usr" \
    PYTHONPATH="$packages:$root/usr/lib/python3/dist-packages" timeout --foreground 600 "$root/python" "$@"
}

# board NAME ARCHITECTURE QEMU: what a program learns of the machine from /proc (an interpreter that reads this machine's
# crashes), and a Python that takes itself for a script of ours, so that its children come back to qemu: the kernel
# would refuse them.
board() {
  local root=$place/$2
  mkdir -p "$root/proc/device-tree"
  cp "$here/scripts/emulate/$1.cpuinfo" "$root/proc/cpuinfo"
  sed -n 's/^Model\t*: //p' "$root/proc/cpuinfo" | tr '\n' '\0' >"$root/proc/device-tree/model"
  printf '#!/bin/sh\nexec %s -L "%s" -0 "$0" "%s" "$@"\n' "$(program "$3")" "$root" "$root/usr/bin/python3" >"$root/python"
  chmod +x "$root/python"
}

# watch LOG COMMAND...: `pocketsight run` on the clip, once as a video and once as pictures
watch() {
  local log=$place/logs/$1.jsonl
  shift
  { "$@" run --threads 1 --camera clip/video.mkv && "$@" run --threads 1 --camera clip/pictures; } >"$log" 2>"$log.txt" ||
    { cat "$log.txt" >&2; die "pocketsight run failed"; }
}

# examine NAME ARCHITECTURE CPU PACKAGES: doctor and verify on a board. Where emulation is slow a doctor runs out of patience,
# which finds nothing wrong.
examine() {
  local pocketsight=(arm "$2" "$3" "$4" "$place/pocketsight/bin/pocketsight") log=$place/logs/$1-doctor.txt
  "${pocketsight[@]}" verify 2>"$log" | sed "s|^.*/|$1 verify: |" || { cat "$log" >&2; die "$1: pocketsight verify failed"; }
  "${pocketsight[@]}" doctor >"$log" 2>&1 || true
  local checks='(board|Python|interpreter|OpenCV|models) '
  grep --extended-regexp "^(ok|warn|fail) +$checks" "$log" | sed "s|^|$1 doctor: |; s|$place/||" ||
    { cat "$log" >&2; die "$1: pocketsight doctor failed"; }
  if grep --extended-regexp "^fail +$checks" "$log" | grep --quiet --invert-match 'did not end'; then
    die "$1: pocketsight doctor found something to mend"
  fi
}

# same NAME REFERENCE [--near]
same() {
  local said
  said=$(x86-64/bin/python "$here/scripts/emulate/compare_logs.py" "logs/$2.jsonl" "logs/$1.jsonl" "${@:3}") ||
    die "$1: the log is not that of $2"
  echo "$1 run, beside $2: $said"
}

pi() {
  local name=$1 cpu=$2 packages=$place/pocketsight:$place/arm64-packages
  board "$name" arm64 qemu-aarch64
  examine "$name" arm64 "$cpu" "$packages"
  watch "$name" arm arm64 "$cpu" "$packages" "$place/pocketsight/bin/pocketsight"
  same "$name" x86-64
  watch "$name-opencv-wheel" arm arm64 "$cpu" "$place/arm64-opencv:$packages" "$place/pocketsight/bin/pocketsight"
  same "$name-opencv-wheel" x86-64 --near
}

prepare() {
  mkdir -p "$place"/{logs,home}
  local python
  python=$(python_of '(3, 11)' '(3, 14)')
  [ "$python" ] || die "pocketsight needs Python 3.11, 3.12 or 3.13; set PYTHON to one"
  [ -x "$place/x86-64/bin/pip" ] || "$python" -m venv "$place/x86-64" || die "on Debian: sudo apt install python3-venv"
  pip=$place/x86-64/bin/pip
  "$pip" download "${quiet[@]}" --no-deps --dest "$place/probe" click >/dev/null ||
    die "the package index cannot be reached" 75
  rm -rf "$place"/{probe,pocketsight} "$place"/pocketsight-*.whl
  "$pip" wheel "${quiet[@]}" --no-deps --wheel-dir "$place" "$here"
  wheel=$(echo "$place"/pocketsight-*.whl)
  "$pip" install "${quiet[@]}" --no-compile --no-deps --target "$place/pocketsight" "$wheel"
  environment x86-64 "$python" ai-edge-litert opencv-python-headless
  x86-64/bin/python "$here/scripts/emulate/make_clip.py" clip
  watch x86-64 env -i HOME="$place/home" "$place/x86-64/bin/pocketsight"
}

prepare_arm64() {
  debian arm64 trixie arm64 base-files libgomp1 libstdc++6 python3 python3-click python3-numpy python3-opencv
  arm64_wheels
}

arm64_wheels() {
  local platforms=(--platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64)
  wheels arm64-packages --python-version 3.13 "${platforms[@]}" ai-edge-litert
  rm -rf "$place"/arm64-packages/numpy*  # Debian's, as on a Pi
  wheels arm64-opencv --python-version 3.13 "${platforms[@]}" --no-deps opencv-python-headless
}

prepare_armhf() {
  debian armhf bookworm armhf base-files python3 python3-click python3-numpy python3-opencv
  wheels armhf-packages --python-version 3.11 --platform manylinux_2_34_armv7l --no-deps tflite-runtime==2.14.0
}

armhf() {
  local packages=$place/pocketsight:$place/armhf-packages python
  board armhf armhf qemu-arm
  examine armhf armhf cortex-a15 "$packages"
  watch armhf arm armhf cortex-a15 "$packages" "$place/pocketsight/bin/pocketsight"
  same armhf x86-64 --near
  python=$(python_of '(3, 11)' '(3, 12)')
  [ "$python" ] || { echo "no Python 3.11 here, so armhf was not laid beside tflite-runtime on x86-64"; return; }
  environment x86-64-tflite-runtime "$python" tflite-runtime==2.14.0 'numpy<2' 'opencv-python-headless<4.12'
  "$place/x86-64-tflite-runtime/bin/pocketsight" verify | sed "s|^.*/|tflite-runtime on x86-64 verify: |"
  watch x86-64-tflite-runtime env -i HOME="$place/home" "$place/x86-64-tflite-runtime/bin/pocketsight"
  same armhf x86-64-tflite-runtime --near
}

# A board of qemu's own, Debian's kernel, and its `vivid`, a driver that plays a camera; and picamera2, which Debian has not,
# on libcamera's virtual camera. Its disk is what the kernel unpacks into memory; OpenCV is the wheel, since Debian's takes
# four times the room.
machine() {
  local root=$place/machine log=$place/logs/machine.txt extra=$place/machine-extra
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
    die "the machine did not run as it should"
}

check "$@"
mkdir -p "$place"
cd "$place"
place=$PWD
prepare
for board in "${boards[@]}"; do
  case $board in
    pi4) prepare_arm64; pi pi4 cortex-a72 ;;
    pi5) prepare_arm64; pi pi5 cortex-a76 ;;
    armhf) prepare_armhf; armhf ;;
    machine) machine ;;
  esac
done
echo "Times under emulation say nothing about a board."
