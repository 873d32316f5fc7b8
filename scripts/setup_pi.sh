#!/usr/bin/env bash
# Installs pocketsight as a service on the Raspberry Pi or other Debian board that it runs on: `pocketsight deploy` for
# this machine. Run it again to upgrade; your settings are kept. From a workstation, `pocketsight deploy HOST` does the
# same over ssh, and the board needs neither this checkout nor the internet.
#
#   sudo scripts/setup_pi.sh                                              # from this checkout
#   sudo scripts/setup_pi.sh --wheel pocketsight-0.2.0-py3-none-any.whl   # from a wheel file; other options too
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

fail() { echo "$1" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "this needs root: sudo $0 $*"
command -v apt-get >/dev/null || fail "this needs apt: Debian, Ubuntu or Raspberry Pi OS"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends python3-click python3-numpy python3-pip python3-venv >/dev/null

PYTHONPATH=$here/package PYTHONDONTWRITEBYTECODE=1 exec python3 -c \
  'from pocketsight.export.deploy.cli import deploy; deploy(prog_name="pocketsight deploy")' . --service system "$@"
