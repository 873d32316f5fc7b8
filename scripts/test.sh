#!/usr/bin/env bash
# All checks: sets up .venv on the first call, then lint, types and tests. Arguments go to pytest.
#   scripts/test.sh                     # the versions of scripts/requirements/
#   scripts/test.sh --newest            # the newest versions that pyproject.toml allows, in .venv-newest
set -euo pipefail
cd "$(dirname "$0")/.."
newest=
if [ "${1:-}" = --newest ]; then
  newest=newest
  shift
fi
. scripts/venv.sh dev $newest
ruff check .
ruff format --check .
mypy
python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"
