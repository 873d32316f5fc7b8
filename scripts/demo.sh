#!/usr/bin/env bash
# The tour: sets up .venv on the first call, then runs the shipped models and trains two small ones.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/venv.sh demo
exec pocketsight demo "$@"
