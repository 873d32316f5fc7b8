#!/usr/bin/env bash
# Trains the teacher and the shipped classifier, and exports it. Run an interrupted command again to continue it.
#   scripts/training/train_classifier.sh EXPRESSIONS FACES.json OUT [options of pocketsight train classifier]
# EXPRESSIONS holds fer2013/train with ferplus.csv, and colour/train. FACES.json holds boxes of faces, with mask states.
set -euo pipefail
expressions=$1 faces=$2 out=$3
shift 3
mkdir -p "$out"
if [ ! -e "$out/faces" ]; then
  rm -rf "$out/faces.part"
  python "$(dirname "$0")/face_crops.py" "$faces" "$out/faces.part" --masked-every 3
  mv "$out/faces.part" "$out/faces"
fi
votes=(--soft-labels "$expressions/fer2013/train/ferplus.csv")
folders=("$expressions/fer2013/train" "$expressions/colour/train" "$out/faces/classes")

train() {  # ARCH RUN [options]
  local arch=$1 run=$2 resume=
  shift 2
  if [ ! -e "$run/scores.json" ]; then
    [ -e "$run/manifest.json" ] && resume=--resume
    pocketsight train classifier --arch "$arch" --out "$run" "${folders[@]/#/--data=}" "${votes[@]}" \
      --classes happy,sad --reject-classes neutral,angry,surprise $resume "$@"
  fi
}

train crop870k "$out/teacher" "$@"
train crop71k "$out/sentiment" --teacher "$out/teacher" --unlabeled "$out/faces/unlabeled" "$@"
[ -e "$out/sentiment/classifier.tflite" ] ||
  pocketsight export tflite "$out/sentiment" "${folders[@]/#/--calibration-data=}" "${votes[@]}" \
    --threshold-for 'reject_label_rate<=0.06'
