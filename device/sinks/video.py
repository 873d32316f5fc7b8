"""TODO docstring."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from pocketsight.device.errors import LogError
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.device.vision.letterbox import letterbox


@contextmanager
def open_video_file(path: Path, fps: float) -> Iterator[Callable[[Image], bool]]:
    """A video of annotated frames, whole when the run ends. The first frame decides its size; others are fitted.

    Raises LogError when it cannot be written, also when the disk fills up on the way.
    """
    if not path.suffix:
        raise LogError(f"{path} cannot be written as a video; let it end in .mp4")
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    writer: Any = None
    size = (0, 0)
    count = 0

    def write(image: Image) -> bool:
        nonlocal writer, size, count
        if writer is None:
            size = max(2, image.shape[0] // 2 * 2), max(2, image.shape[1] // 2 * 2)  # codecs want even sides
            writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"mp4v"), fps, size[::-1])
            if not writer.isOpened():
                writer = None
                allowed = os.access(path.parent, os.W_OK)
                why = "does it end in .mp4?" if allowed else "its folder is missing, or may not be written"
                raise LogError(f"{path} cannot be written as a video; {why}")
        writer.write(to_rgb(letterbox(image, size)[0]))
        count += 1
        return True

    try:
        yield write
    finally:
        if writer is not None:
            writer.release()
            if _count_frames(part) < count:
                part.unlink(missing_ok=True)
                raise LogError(f"{path} could not be written whole; is the disk full?")
            os.replace(part, path)


def _count_frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = round(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    return count
