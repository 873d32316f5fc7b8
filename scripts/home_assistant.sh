#!/usr/bin/env bash
# A real Home Assistant for tests. It needs Python 3.14, so it lives in a Debian of its own, in .venv-home-assistant (or
# HOME_ASSISTANT). Needs root, debootstrap, Debian's mirror and the package index; the first call takes ten minutes.
#
#   scripts/home_assistant.sh               # makes it
#   scripts/home_assistant.sh FOLDER        # runs it on port 8123, with its configuration and its data in FOLDER
#
# tests/integration/test_home_assistant.py uses it, and is skipped where it has not been made.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
root=${HOME_ASSISTANT:-$here/.venv-home-assistant}
release=2026.11.0
packages=(python3 python3-venv python3-dev ca-certificates g++ make ffmpeg libturbojpeg0)
mqtt=paho-mqtt==2.1.0  # as this release pins it

inside() {  # in its Debian, with nothing of this environment
  env -i PATH=/ha/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt chroot "$root" "$@"
}

[ "$(id -u)" = 0 ] || { echo "this needs root: sudo $0" >&2; exit 1; }
if [ "$(cat "$root/complete" 2>/dev/null)" != "$release" ]; then
  command -v debootstrap >/dev/null || { echo "debootstrap is missing: sudo apt install debootstrap" >&2; exit 1; }
  # Releases of Debian that this debootstrap does not know have the script of sid.
  debootstrap --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" forky "$root" \
    "${MIRROR:-http://deb.debian.org/debian}" /usr/share/debootstrap/scripts/sid >"$root.log" 2>&1 ||
    { tail -n 3 "$root.log" >&2; echo "no Debian could be made; see $root.log" >&2; exit 1; }
  cp /etc/resolv.conf /etc/hosts "$root/etc/"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  inside python3 -m venv /ha
  inside /ha/bin/pip install --quiet uv
  inside /ha/bin/uv pip install --quiet --python /ha/bin/python "homeassistant==$release" "$mqtt"
  echo "$release" >"$root/complete"
fi
[ $# = 1 ] || exit 0
mkdir -p "$root/config"
export root
# The mount ends with this process and its children.
exec unshare --mount bash -c 'mount --bind "$1" "$root/config" && exec env -i PATH=/ha/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  HOME=/root LC_ALL=C.UTF-8 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
  chroot "$root" /ha/bin/hass --config /config' - "$1"
