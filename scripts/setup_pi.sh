#!/usr/bin/env bash
# Installs edgekit as a service on a Raspberry Pi or another Debian board: OpenCV and picamera2 by apt, an environment in
# /opt/edgekit that sees them, a first /etc/edgekit.toml, the unit. Run it again to upgrade; your settings stay.
#
#   sudo scripts/setup_pi.sh            # from a copy of the project
#   sudo scripts/setup_pi.sh edgekit    # from the package index
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=${1:-$(dirname "$here")}
place=/opt/edgekit
settings=/etc/edgekit.toml

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
# The keys are the options of: edgekit run --help
log = ["/var/log/edgekit/events.jsonl"]
cool = 75
SETTINGS

install -m 644 "$here/edgekit.service" /etc/systemd/system/edgekit.service
systemctl daemon-reload
(cd /var/log && "$place/bin/edgekit" doctor) || { echo "mend this first; then: sudo systemctl enable --now edgekit" >&2; exit 1; }
systemctl enable --quiet edgekit
systemctl restart edgekit
echo "edgekit runs; see it: journalctl -u edgekit -f"
