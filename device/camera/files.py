"""Frames from a video file, an image or a folder of images: one by one, none is dropped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketsight.device.camera.base import Camera, Frame
from pocketsight.device.camera.video import open_video
from pocketsight.device.errors import CameraError
from pocketsight.device.vision.image import list_images
from pocketsight.device.vision.image_kinds import describe_unread, is_image_name, list_unread_images
from pocketsight.device.vision.pixels import open_image

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
        with open_video(path, stop) as camera:
            yield camera


def _read_images(files: list[Path], stop: threading.Event) -> Iterator[Frame]:
    for index, path in enumerate(files):
        if stop.is_set():
            return
        yield Frame(open_image(path), index, time.time(), str(path))
