#!/usr/bin/env bash
# A whole board in qemu, to deploy to: aarch64, Debian with systemd, sshd, sudo and Python, and a virtual camera. It has no
# internet; this machine reaches its ssh on a port of 127.0.0.1. Boards are named by numbers and share one disk image.
#
#   scripts/emulate/board.sh start 1 2       # the first call builds the image, without root
#   ssh -F .venv-emulated/board/ssh_config board1
#   scripts/emulate/board.sh stop 1 2        # power off; what is on the disk stays
#   scripts/emulate/board.sh remove 1 2      # and a board that starts is fresh again
#
# The user `pi` may use sudo without a password, the user `maker` with the password `maker`. INTERNET=yes gives the boards
# that start a way out. All files are kept in .venv-emulated/board (or EMULATED/board). Status 75: Debian's mirror is not
# reachable.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
work=${EMULATED:-$here/../../.venv-emulated}/board
first_port=2200
start_timeout=600

usage() { die "usage: $0 start|stop|remove NUMBER..."; }

require() {
  local missing=() PATH=$PATH:/usr/sbin
  local pairs=(qemu-system-aarch64=qemu-system-arm qemu-img=qemu-utils qemu-aarch64-static=qemu-user-static
    mmdebstrap=mmdebstrap arch-test=arch-test mke2fs=e2fsprogs depmod=kmod cpio=cpio newuidmap=uidmap xz=xz-utils)
  for pair in "${pairs[@]}"; do
    command -v "${pair%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  [ -e "$keys" ] || missing+=(debian-archive-keyring)
  [ ${#missing[@]} = 0 ] || die "programs are missing: sudo apt install ${missing[*]}"
}

# machine DISK OPTIONS...: boots the disk
machine() {
  local disk=$1
  shift
  qemu-system-aarch64 -M virt -cpu cortex-a72 -accel tcg,thread=multi,tb-size=256 -smp 2 -m 1024 -nographic \
    -no-reboot -kernel vmlinuz -initrd initrd \
    -drive "file=$disk,if=none,id=disk,cache=unsafe" -device virtio-blk-pci,drive=disk "$@"
}

build() {
  [ -e base.qcow2 ] && return
  echo "building the image of the boards"
  work=$PWD debian kernel trixie arm64 busybox-static linux-image-arm64
  cp kernel/boot/vmlinuz-* vmlinuz
  initrd "$(ls kernel/usr/lib/modules)"
  [ -e key ] || ssh-keygen -q -t ed25519 -N '' -C pocketsight -f key
  unshare --user --map-root-user --map-auto --mount --pid --fork "$here/board_system" "$PWD" ||
    die "the system of the boards cannot be built: see $PWD/mmdebstrap.log" 75
  qemu-img convert -O qcow2 system.img part.qcow2
  mv part.qcow2 base.qcow2
  rm system.img
}

# initrd VERSION: drivers of the disk, and a shell that mounts it
initrd() {
  rm -rf early
  mkdir -p early/{bin,modules,dev,proc,root}
  cp kernel/usr/bin/busybox early/bin/busybox
  PATH=$PATH:/usr/sbin
  [ -e kernel/lib ] || ln -s usr/lib kernel/lib
  depmod -b "$PWD/kernel" "$1"
  modprobe --dirname "$PWD/kernel" --set-version "$1" --show-depends --all virtio_pci virtio_blk ext4 |
    awk '/^insmod/ && !seen[$2]++ {print $2}' | while read -r module; do
      name=$(basename "${module%.xz}")
      xz --decompress --stdout "$module" >"early/modules/$name"
      echo "/modules/$name"
    done >early/order
  install -m 755 "$here/early_init" early/init
  (cd early && find . -print0 | cpio -0 --quiet -o -H newc) >initrd
  rm -rf early
}

is_running() { [ -e "board$1.pid" ] && kill -0 "$(cat "board$1.pid")" 2>/dev/null; }

start() {
  local number=$1 ways=restrict=on
  is_running "$number" && return
  [ "${INTERNET:-no}" = yes ] && ways=restrict=off
  [ -e "board$number.qcow2" ] || qemu-img create -q -f qcow2 -F qcow2 -b base.qcow2 "board$number.qcow2"
  local port=$((first_port + number))
  machine "board$number.qcow2" \
    -netdev "user,id=net,$ways,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=net,romfile= \
    -append "console=ttyAMA0 root=/dev/vda systemd.hostname=board$number" \
    -pidfile "board$number.pid" </dev/null >"board$number.log" 2>&1 &
  grep -qsx "Host board$number" ssh_config || cat >>ssh_config <<END
Host board$number
  HostName 127.0.0.1
  Port $port
  User pi
  IdentityFile $PWD/key
  IdentitiesOnly yes
  UserKnownHostsFile $PWD/known_hosts
  StrictHostKeyChecking accept-new
END
}

wait_for() {
  local end=$((SECONDS + start_timeout))
  sleep 1
  until ssh -F ssh_config -o ConnectTimeout=5 "board$1" true 2>/dev/null; do
    is_running "$1" || die "board$1 ended: see $PWD/board$1.log"
    [ $SECONDS -lt $end ] || die "board$1 does not answer: see $PWD/board$1.log"
    sleep 1
  done
  echo "board$1: $(ssh -F ssh_config "board$1" 'systemd-analyze time | head -1; uname -srm' | tr '\n' ' ')"
}

stop() {
  is_running "$1" || return 0
  ssh -F ssh_config -o ConnectTimeout=5 "board$1" sudo systemctl poweroff 2>/dev/null || true
  for _ in {1..60}; do
    is_running "$1" || break
    sleep 1
  done
  is_running "$1" && kill "$(cat "board$1.pid")"
  rm -f "board$1.pid"
}

[ $# -ge 2 ] || usage
action=$1
shift
require
mkdir -p "$work"
cd "$work"
case $action in
  start)
    build
    for number in "$@"; do start "$number"; done
    for number in "$@"; do wait_for "$number"; done ;;
  stop) for number in "$@"; do stop "$number"; done ;;
  remove) for number in "$@"; do stop "$number"; rm -f "board$number.qcow2"; done ;;
  *) usage ;;
esac
