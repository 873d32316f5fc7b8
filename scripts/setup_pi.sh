#!/usr/bin/env bash
# Installs pocketsight as a service on a Raspberry Pi or another Debian board: OpenCV and picamera2 by apt, an environment in
# /opt/pocketsight that sees them, a first /etc/pocketsight.toml, the unit. Run it again to upgrade; your settings stay.
#
#   sudo scripts/setup_pi.sh            # from a copy of the project
#   sudo scripts/setup_pi.sh pocketsight    # from the package index
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=${1:-$(dirname "$here")}
place=/opt/pocketsight
settings=/etc/pocketsight.toml

[ "$(id -u)" = 0 ] || { echo "this needs root: sudo $0 $*" >&2; exit 1; }
command -v apt-get >/dev/null || { echo "this needs apt: Debian, Ubuntu or Raspberry Pi OS" >&2; exit 1; }

packages=(python3-venv python3-opencv python3-numpy)
grep --quiet --ignore-case "raspberry pi" /proc/device-tree/model 2>/dev/null && packages+=(python3-picamera2)
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null

# numpy stays the one that apt built OpenCV and picamera2 for.
python3 -m venv --system-site-packages "$place"
echo "numpy==$(/usr/bin/python3 -c 'import numpy; print(numpy.__version__)')" >"$place/numpy.txt"
"$place/bin/pip" install --quiet --upgrade --constraint "$place/numpy.txt" "${source}[board,mqtt,web]"

[ -e "$settings" ] || cat >"$settings" <<'SETTINGS'
# All settings: pocketsight config show --toml
[log]
targets = ["/var/log/pocketsight/events.jsonl"]

[run]
max_temperature = 75
SETTINGS

install -m 644 "$here/pocketsight.service" /etc/systemd/system/pocketsight.service
systemctl daemon-reload
(cd /var/log && "$place/bin/pocketsight" doctor) || { echo "mend this first; then: sudo systemctl enable --now pocketsight" >&2; exit 1; }
systemctl enable --quiet pocketsight
systemctl restart pocketsight
echo "pocketsight runs; see it: journalctl -u pocketsight -f"
