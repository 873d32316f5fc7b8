#!/usr/bin/env bash
# Trains the three shipped detectors and exports them. Run an interrupted command again to continue it.
#   scripts/training/train_detectors.sh FACES.json OUT [options of pocketsight train detector, such as --workers 8]
# With KERAS_BACKEND=torch it only trains. To export, run it again without KERAS_BACKEND on a machine with TensorFlow.
set -euo pipefail
data=$1 out=$2
shift 2
mkdir -p "$out"
for arch in grid141k grid141k-256 grid141k-512; do  # one network; the larger sizes start from the weights of the first
  run=$out/$arch
  [ "$arch" = grid141k ] && start= || start="--weights $out/grid141k"
  if [ ! -e "$run/scores.json" ]; then
    [ -e "$run/manifest.json" ] && resume=--resume || resume=
    pocketsight train detector --arch "$arch" --data "$data" --out "$run" $start $resume "$@"
  fi
  if [ "${KERAS_BACKEND:-tensorflow}" = tensorflow ] && [ ! -e "$run/detector.tflite" ]; then
    pocketsight export tflite "$run" --calibration-data "$data"
  fi
done
