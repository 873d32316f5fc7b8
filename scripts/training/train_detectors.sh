#!/usr/bin/env bash
# Trains the three detectors that ship, and exports them where TensorFlow is. Killed, the same command goes on.
#   scripts/training/train_detectors.sh FACES.json OUT [options of pocketsight train detector, such as --workers 8]
# With KERAS_BACKEND=torch on a machine with a GPU it only trains; call it again without where TensorFlow is, to export.
set -euo pipefail
data=$1 out=$2
shift 2
mkdir -p "$out"
for arch in grid133k grid133k-256 grid133k-512; do  # one net; for other sizes it begins with what it has learned
  run=$out/$arch
  [ "$arch" = grid133k ] && begin= || begin="--weights $out/grid133k"
  if [ ! -e "$run/scores.json" ]; then
    [ -e "$run/manifest.json" ] && resume=--resume || resume=
    pocketsight train detector --arch "$arch" --data "$data" --out "$run" $begin $resume "$@"
  fi
  if [ "${KERAS_BACKEND:-tensorflow}" = tensorflow ] && [ ! -e "$run/detector.tflite" ]; then
    pocketsight export tflite "$run" --calibration-data "$data"
  fi
done
