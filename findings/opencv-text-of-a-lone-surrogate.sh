#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: `putText` ends the process when its text has a lone surrogate.
#
# Python gives file names that are not UTF-8 as text with lone surrogates (PEP 383), and `json.loads` reads "\ud800" as
# one. Such a name or label, drawn on an image, is a segmentation fault instead of an exception; 4.14.0.94 does the same.
# Replace them first: `text.encode("utf-8", "replace").decode()`.
#
# Seen: signal 11 with the surrogate, success without. Needs the package index. Exit status 1 if the behavior is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet opencv-python-headless==5.0.0.93
cat >"$work/draw.py" <<'PY'
import os
import sys

import cv2
import numpy as np

name = os.fsdecode(bytes.fromhex(sys.argv[1]))
cv2.putText(np.zeros((20, 99, 3), np.uint8), name, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
PY
"$work/venv/bin/python" "$work/draw.py" 61
set +e
"$work/venv/bin/python" "$work/draw.py" 61ff
status=$?
set -e
echo "exit status with a byte that is not UTF-8: $status"
[ "$status" -eq 139 ]
