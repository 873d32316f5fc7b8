"""The video file of --save-video."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from pocketsight.device.errors import LogError
from pocketsight.device.system.atomic_files import part_path
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.device.vision.letterbox import letterbox


@contextmanager
def open_video_file(path: Path, fps: float, max_pause: float = math.inf) -> Iterator[Callable[[Image, float], bool]]:
    """A function that appends an RGB image (H, W, 3) and its time in seconds to a video, and returns True.

    An image is repeated, or left out, so that the video keeps the times; a longer pause becomes `max_pause`.
    The first image sets the size; later ones are letterboxed. The file gets its name when the block ends, and only if
    it is complete. Raises LogError when it cannot be written, also when the disk is full.
    """
    if not path.suffix:
        raise LogError(f"{path} cannot be written as a video; use a name that ends in .mp4")
    part = part_path(path, path.suffix)
    writer: Any = None
    size = (0, 0)
    count = 0
    previous: Any = None
    start = last = 0.0  # seconds of the first image, without pauses, and of the last one

    def write(image: Image, seconds: float) -> bool:
        nonlocal writer, size, count, previous, start, last
        if writer is None:
            size = max(2, image.shape[0] // 2 * 2), max(2, image.shape[1] // 2 * 2)  # codecs need even sides
            writer = _open_writer(path, part, fps, size)
            start = last = seconds
        start += max(0.0, seconds - last - max_pause)
        last = seconds
        canvas = to_rgb(letterbox(image, size)[0])
        due = round((seconds - start) * fps) + 1  # images in the video, with this one
        for _ in range(due - 1 - count):
            writer.write(previous)
        if due > count:
            writer.write(canvas)
            count, previous = due, canvas
        return True

    try:
        yield write
    finally:
        if writer is not None:
            writer.release()
            if _count_frames(part) < count:
                part.unlink(missing_ok=True)
                raise LogError(f"{path} is incomplete and was removed; is the disk full?")
            os.replace(part, path)


def _open_writer(path: Path, part: Path, fps: float, size: tuple[int, int]) -> Any:
    writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"mp4v"), fps, size[::-1])
    if not writer.isOpened():
        writable = os.access(path.parent, os.W_OK)
        hint = "does its name end in .mp4?" if writable else "its folder is missing or not writable"
        raise LogError(f"{path} cannot be written as a video; {hint}")
    return writer


def _count_frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = round(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    return count
