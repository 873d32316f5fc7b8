#!/usr/bin/env bash
# Installs the programs that some tests need: a broker, a browser, Prometheus, a reverse proxy, an RTSP server, systemd,
# an ssh server, a fake clock, a virtual screen and a mouse for it, emulated ARM processors, zip, and the system libraries of labelme's
# Qt.
# Needs root on Debian, Ubuntu or Raspberry Pi OS. Elsewhere it prints what is missing; those tests are skipped.
set -euo pipefail
packages=(
  chromium debian-archive-keyring faketime mosquitto nginx-light openssh-client openssh-server openssl prometheus qemu-user systemd unzip util-linux xdotool xvfb zip
  gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-tools python3-gi
  libdbus-1-3 libegl1 libfontconfig1 libgl1 libglib2.0-0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0
  libxcb-render-util0 libxcb-shape0 libxcb-sync1 libxcb-xfixes0 libxcb-xinerama0 libxcb-xkb1 libxkbcommon-x11-0
)
missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep --quiet '^installed' ||
    missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  if apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null; then
    exit 0
  fi
fi
echo "tests that need them are skipped: sudo apt install ${missing[*]}" >&2
