#!/usr/bin/env bash
# OpenCV's wheels 4.13 to 5.0: a frame of interlaced video is reported as read, but was never written.
#
# `VideoCapture.read` returns True, and an image that is black in a fresh process, or holds what was in memory. Only a
# line of its scaler says so: "Cannot convert interlaced to progressive frames". 4.12.0.88, Debian's 4.6 and PyAV read
# the same clip right. The clip is H.264 with interlaced frames; MPEG-2 and DV behave in the same way.
#
# Seen with 5.0.0.93: read() is True, the mean level is about 0 instead of 200. Needs the package index.
# Exit status 1 if the behavior is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet opencv-python-headless==5.0.0.93 av==18.1.0
"$work/venv/bin/python" - "$work/clip.mp4" <<'PY'
import sys

import av
import numpy as np

with av.open(sys.argv[1], "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"x264-params": "tff=1"})
    stream.height, stream.width, stream.pix_fmt = 240, 320, "yuv420p"
    for _ in range(5):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((240, 320, 3), 200, np.uint8), "rgb24")))
    container.mux(stream.encode(None))
PY
"$work/venv/bin/python" - "$work/clip.mp4" <<'PY'
import sys

import cv2

good, image = cv2.VideoCapture(sys.argv[1]).read()
print(f"read: {good}, mean level {image.mean():.1f} of 200")
sys.exit(0 if good and image.mean() < 100 else 1)
PY
