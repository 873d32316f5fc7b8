#!/usr/bin/env bash
# All checks: sets up .venv on the first call, then lint, types and tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/venv.sh dev
ruff check .
ruff format --check .
mypy
python -m pytest "$@"
