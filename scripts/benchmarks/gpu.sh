#!/usr/bin/env bash
# Training on a GPU: images a second, waiting for images, and the loss compared with a CPU. Under 8 minutes.
#   scripts/benchmarks/gpu.sh                      # every backend that is installed, on the GPU
#   scripts/benchmarks/gpu.sh --cpu --small        # proof on a CPU that it works
#   scripts/benchmarks/gpu.sh --wheels FOLDER      # without a network: installs packages that this Python lacks first
# FOLDER is filled where there is a network, for the Python of the other machine (here 3.12); 16 MB where JAX, PyTorch,
# OpenCV, SciPy and scikit-learn are there:
#   pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 \
#     --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d FOLDER \
#     keras namex optree albumentations==2.0.8 albucore==0.0.24 stringzilla simsimd pydantic pydantic-core \
#     annotated-types typing-inspection imagehash PyWavelets defusedxml pycocotools
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if [ "${1:-}" = --wheels ]; then
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$2"/*.whl
  shift 2
fi
export PYTHONPATH="$PWD/scripts/package:$site${PYTHONPATH:+:$PYTHONPATH}"
"$python" scripts/benchmarks/gpu.py "$@"
