"""Does this OpenCV decode a video? Some versions leave images of an interlaced one unwritten, and call it a success.

The image is then black, or what the memory held before. Only a message of OpenCV's scaler gives it away. Messages are
off in our process, since they may hold passwords, so another process reads a frame.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

import cv2

from pocketsight.device.errors import CameraError
from pocketsight.device.system.install_hint import install_command

FIRST_BAD_VERSION = 4, 13  # 4.6 and 4.12 are right; 4.13, 4.14 and 5.0 are not
PROBE_TIMEOUT = 20.0  # seconds
PROBE = "import cv2, sys; cv2.VideoCapture(sys.stdin.read()).read()"


def check_decoder(address: str, name: str) -> None:
    """Raise CameraError where OpenCV cannot decode the video at a path or address; `name` is for the message."""
    if tuple(int(part) for part in cv2.__version__.split(".")[:2]) < FIRST_BAD_VERSION:
        return
    environment = os.environ | {"OPENCV_FFMPEG_LOGLEVEL": "16"}  # errors
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            [sys.executable, "-c", PROBE],
            input=address.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # versions differ in where they write
            env=environment,
            timeout=PROBE_TIMEOUT,
        )
        if b"Cannot convert" in done.stdout:
            kind = "interlaced" if b"interlaced" in done.stdout else "this"
            raise CameraError(f"{name}: OpenCV cannot read {kind} video, but PyAV can: {install_command('video')}")
