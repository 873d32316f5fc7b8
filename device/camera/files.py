"""Frames from a video file, an image or a folder of images: one by one, none is dropped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.camera.base import Camera, Frame
from pocketsight.device.errors import CameraError
from pocketsight.device.vision.image import list_images, read_image, to_rgb
from pocketsight.device.vision.image_kinds import describe_unread, is_image_name, list_unread_images

logger = logging.getLogger(__name__)


@contextmanager
def open_file_camera(path: Path, stop: threading.Event) -> Iterator[Camera]:
    """Open a video, an image or a folder of images. Raises CameraError if `path` holds no frames."""
    if path.is_dir():
        files, unread = list_images(path), list_unread_images(path)
        if unread:
            logger.warning("%s", describe_unread(unread))
        if not files:
            raise CameraError(f"{path} contains no images" + (" that can be read" if unread else ""))
        camera = Camera(_read_images(files, stop), str(path))
        camera.frame_count = len(files)
        yield camera
    elif is_image_name(path.name):
        yield Camera(_read_images([path], stop), str(path))
    else:
        with _open_video(path, stop) as camera:
            yield camera


def _read_images(files: list[Path], stop: threading.Event) -> Iterator[Frame]:
    for index, path in enumerate(files):
        if stop.is_set():
            return
        yield Frame(read_image(path), index, time.time(), str(path))


@contextmanager
def _open_video(path: Path, stop: threading.Event) -> Iterator[Camera]:
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise CameraError(f"{path} cannot be opened as a video; is it complete, and does OpenCV support its codec?")
        fps = capture.get(cv2.CAP_PROP_FPS) or Camera.fps
        camera = Camera(_read_video(capture, fps, stop), str(path))
        camera.fps = fps
        camera.frame_count = max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT))) or None
        yield camera
    finally:
        capture.release()


def _read_video(video: cv2.VideoCapture, fps: float, stop: threading.Event) -> Iterator[Frame]:
    """Frames whose `captured_monotonic` follows the time of the video, so that durations in it are right."""
    index, buffer, started = 0, None, time.monotonic()
    while not stop.is_set():
        good, buffer = video.read(buffer)
        if not good:
            break
        yield Frame(to_rgb(np.asarray(buffer, np.uint8)), index, time.time(), captured_monotonic=started + index / fps)
        index += 1
    if index == 0 and not stop.is_set():
        raise CameraError("the video contains no frame that OpenCV can read")
