"""Frames from a video file, a picture or a folder of pictures, one by one and without loss."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.camera.frame import Camera, Frame
from pocketsight.device.errors import CameraError
from pocketsight.device.image import SUFFIXES, pictures, read_image, to_rgb


@contextmanager
def open_files(path: Path, stop: threading.Event) -> Iterator[Camera]:
    """Open what is at `path`. Raises CameraError when it is nothing that holds frames."""
    if path.is_dir():
        files = pictures(path)
        if not files:
            raise CameraError(f"{path} holds no pictures")
        camera = Camera(_pictures(files, stop), str(path))
        camera.length = len(files)
        yield camera
    elif path.suffix.lower() in SUFFIXES:
        yield Camera(_pictures([path], stop), str(path))
    else:
        with _video(path, stop) as camera:
            yield camera


def _pictures(files: list[Path], stop: threading.Event) -> Iterator[Frame]:
    for index, path in enumerate(files):
        if stop.is_set():
            return
        yield Frame(read_image(path), index, time.time(), str(path))


@contextmanager
def _video(path: Path, stop: threading.Event) -> Iterator[Camera]:
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise CameraError(f"{path} cannot be opened as a video; is it whole, and does OpenCV know its kind?")
        fps = capture.get(cv2.CAP_PROP_FPS) or Camera.fps
        camera = Camera(_frames(capture, fps, stop), str(path))
        camera.fps = fps
        camera.length = max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT))) or None
        yield camera
    finally:
        capture.release()


def _frames(capture: cv2.VideoCapture, fps: float, stop: threading.Event) -> Iterator[Frame]:
    """`born` goes by the video's own time, so that what lasts a second in it is said to last a second."""
    index, buffer, begun = 0, None, time.monotonic()
    while not stop.is_set():
        good, buffer = capture.read(buffer)
        if not good:
            break
        yield Frame(to_rgb(np.asarray(buffer, np.uint8)), index, time.time(), born=begun + index / fps)
        index += 1
    if index == 0 and not stop.is_set():
        raise CameraError("the video holds no frame that OpenCV can read")
