#!/usr/bin/env bash
# Trains the classifier that ships, after a larger net that teaches it, and exports it. Killed, the same command goes on.
#   scripts/training/train_classifier.sh EXPRESSIONS FACES.json OUT [options of pocketsight train classifier, such as --workers 8]
# EXPRESSIONS holds fer2013/train with ferplus.csv and colour/train, FACES.json boxes of faces that say who wears a mask.
set -euo pipefail
expressions=$1 faces=$2 out=$3
shift 3
mkdir -p "$out"
if [ ! -e "$out/faces" ]; then
  rm -rf "$out/part.faces"
  python "$(dirname "$0")/face_crops.py" "$faces" "$out/part.faces" --masked-every 3
  mv "$out/part.faces" "$out/faces"
fi
votes=(--soft-labels "$expressions/fer2013/train/ferplus.csv")
folders=("$expressions/fer2013/train" "$expressions/colour/train" "$out/faces/classes")

train() {  # NET RUN [options]
  local net=$1 run=$2 resume=
  shift 2
  if [ ! -e "$run/scores.json" ]; then
    [ -e "$run/manifest.json" ] && resume=--resume
    pocketsight train classifier --arch "$net" --out "$run" "${folders[@]/#/--data=}" "${votes[@]}" \
      --classes happy,sad --reject-classes neutral,angry,surprise $resume "$@"
  fi
}

train crop870k "$out/teacher" "$@"
train crop71k "$out/sentiment" --teacher "$out/teacher" --unlabeled "$out/faces/others" "$@"
[ -e "$out/sentiment/sentiment.tflite" ] ||
  pocketsight export tflite "$out/sentiment" "${folders[@]/#/--calibration-data=}" "${votes[@]}" --threshold-for 'others_called<=0.06'
