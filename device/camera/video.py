"""Frames of a video file, with their positions in it: through PyAV where it is installed, else through OpenCV."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.camera.av_stream import import_av, open_av
from pocketsight.device.camera.base import Camera, Frame
from pocketsight.device.camera.decoder_check import check_decoder
from pocketsight.device.camera.timeline import DEFAULT_FPS, Timeline, believable_fps, estimate_fps
from pocketsight.device.errors import CameraError
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.device.vision.pixels import Content, Pixels
from pocketsight.device.vision.resize import resize

PROBED_FRAMES = 8  # of which the frame rate is estimated where the file does not state one that can be true

StampedContent = tuple[Content, float | None]
"""The content of a frame, and its time stamp in seconds, if it has one."""


@contextmanager
def open_video(path: Path, stop: threading.Event) -> Iterator[Camera]:
    """Open a video file. Raises CameraError where it cannot be read."""
    if import_av() is None:
        with _open_opencv(path) as (contents, fps, frame_count):
            yield _make_camera(path, contents, fps, frame_count, stop)
        return
    try:
        opened = open_av(str(path), {})
        stream = opened.__enter__()
    except (OSError, ValueError) as error:
        raise _open_error(path) from error
    try:
        yield _make_camera(path, stream.frames(), stream.fps, stream.frame_count, stop)
    finally:
        opened.__exit__(None, None, None)


def _open_error(path: Path) -> CameraError:
    return CameraError(f"{path} cannot be opened as a video; is it complete, and is its codec supported?")


def _make_camera(
    path: Path, contents: Iterable[StampedContent], fps: float | None, frame_count: int, stop: threading.Event
) -> Camera:
    if fps is None:
        first = list(islice(contents := iter(contents), PROBED_FRAMES))
        fps = estimate_fps(stamp for _, stamp in first if stamp is not None)
        contents = chain(first, contents)
    fps = fps or DEFAULT_FPS
    camera = Camera(_read_frames(path, contents, Timeline(fps), stop), str(path))
    camera.fps = fps
    camera.frame_count = frame_count or None
    return camera


def _read_frames(
    path: Path, contents: Iterable[StampedContent], timeline: Timeline, stop: threading.Event
) -> Iterator[Frame]:
    """Frames whose `captured_monotonic` follows the time of the video, so that durations in it are right."""
    started, waiting, index = time.monotonic(), None, 0
    for index, (content, stamp) in enumerate(_timed(contents), 1):
        if waiting:
            yield waiting
        if stop.is_set():
            return
        position = timeline.position(stamp)
        waiting = Frame(content, index - 1, time.time(), None, started + position, position)
    if waiting:  # a video of one frame is an image
        yield waiting if index > 1 else replace(waiting, source=str(path))
    elif not stop.is_set():
        raise CameraError(f"{path} contains no frame that can be read")


def _timed(contents: Iterable[StampedContent]) -> Iterator[StampedContent]:
    """The contents, each with the time that its reading took."""
    start = time.perf_counter()
    for content, stamp in contents:
        if isinstance(content, Pixels):
            content.decode_ms += 1000 * (time.perf_counter() - start)
        yield content, stamp
        start = time.perf_counter()


@contextmanager
def _open_opencv(path: Path) -> Iterator[tuple[Iterator[StampedContent], float | None, int]]:
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise _open_error(path)
        fps = believable_fps(capture.get(cv2.CAP_PROP_FPS))
        count = max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT))) if fps else 0
        check_decoder(str(path), str(path))
        yield _read_opencv(capture), fps, count
    finally:
        capture.release()


def _read_opencv(capture: cv2.VideoCapture) -> Iterator[StampedContent]:
    aspect = _pixel_aspect(capture)
    buffer: cv2.typing.MatLike | None = None
    while True:
        good, buffer = capture.read(buffer)
        if not good:
            return
        image = to_rgb(np.asarray(buffer, np.uint8))
        yield _square_pixels(image, aspect), capture.get(cv2.CAP_PROP_POS_MSEC) / 1000


def _pixel_aspect(capture: cv2.VideoCapture) -> float:
    """The width of a pixel divided by its height; 1 where this OpenCV does not report it."""
    width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    aspect = width / height if width > 0 and height > 0 else 1.0
    return aspect if 0.25 <= aspect <= 4 else 1.0


def _square_pixels(image: Image, aspect: float) -> Image:
    height, width = image.shape[:2]
    if aspect == 1:
        return image
    return resize(image, (height, round(width * aspect)) if aspect > 1 else (round(height / aspect), width))
