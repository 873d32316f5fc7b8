#!/usr/bin/env bash
# Installs pocketsight as a service on a Raspberry Pi or another Debian board: OpenCV and picamera2 from apt, a virtual
# environment in /opt/pocketsight that sees them, a first /etc/pocketsight.toml, and the systemd unit. Run it again to
# upgrade; your settings are kept.
#
#   sudo scripts/setup_pi.sh                             # from this checkout
#   sudo scripts/setup_pi.sh pocketsight-0.2.0-py3-none-any.whl      # from a wheel file
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(realpath "${1:-$here/..}")
target=/opt/pocketsight
settings=/etc/pocketsight.toml

fail() { echo "$1" >&2; exit 1; }

# A name would let pip install whatever package has it on the index, as root.
case $source in
  *.whl) [ -f "$source" ] || fail "there is no wheel file $source" ;;
  *) [ -f "$source/pyproject.toml" ] || fail "$source is neither a checkout of pocketsight nor a wheel file" ;;
esac
[ "$(id -u)" = 0 ] || fail "this needs root: sudo $0 $*"
command -v apt-get >/dev/null || fail "this needs apt: Debian, Ubuntu or Raspberry Pi OS"

packages=(python3-venv python3-opencv python3-numpy)
grep --quiet --ignore-case "raspberry pi" /proc/device-tree/model 2>/dev/null && packages+=(python3-picamera2)
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null

# numpy stays the one that apt built OpenCV and picamera2 for; the other packages have the versions of the lock file.
python3 -m venv --system-site-packages "$target"
echo "numpy==$(/usr/bin/python3 -c 'import numpy; print(numpy.__version__)')" >"$target/numpy.txt"
constraints=(--constraint "$target/numpy.txt")
lock=$here/requirements/board-$(uname -m)-py$("$target/bin/python" -c 'import sys; print("%d%d" % sys.version_info[:2])').txt
if [ -e "$lock" ]; then
  constraints+=(--constraint "$lock")
else
  echo "no lock file for this board (${lock##*/}): pip takes the newest allowed versions"
fi
"$target/bin/pip" install --quiet --upgrade "${constraints[@]}" "$source[board,mqtt,web]"

[ -e "$settings" ] || cat >"$settings" <<'SETTINGS'
# All settings: pocketsight config show --toml
[log]
targets = ["/var/log/pocketsight/events.jsonl"]

[run]
max_temperature = 75
SETTINGS

install -m 644 "$here/pocketsight.service" /etc/systemd/system/pocketsight.service
systemctl daemon-reload
(cd /var/log && "$target/bin/pocketsight" doctor) ||
  fail "fix this first; then: sudo systemctl enable --now pocketsight"
systemctl enable --quiet pocketsight
systemctl restart pocketsight
echo "pocketsight is running; its messages: journalctl -u pocketsight -f"
