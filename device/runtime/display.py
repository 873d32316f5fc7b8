"""What people look at during a run or after it: a window, an annotated video, a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from pocketsight.device.annotators.blur import FaceBlurrer
from pocketsight.device.annotators.labels import annotate
from pocketsight.device.errors import LogError
from pocketsight.device.results import FrameResult
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.runtime.window import QUIT_KEYS, open_window
from pocketsight.device.vision.image import Image, letterbox, to_rgb

ImageConsumer = Callable[[Image], bool]  # takes an annotated frame; False when the person wants no more


@contextmanager
def open_display(config: RunConfig, fps: float, status: RunStatus) -> Iterator[Callable[[Image, FrameResult], bool]]:
    """A call that draws a record into its frame for the video and the window; False ends the run."""
    blur = FaceBlurrer() if config.blur else None
    with _open_video(config.save_video, fps) as video, _open_window(config.show) as window:
        targets = [target for target in (video, window) if target]

        def draw(image: Image, record: FrameResult) -> bool:
            if not targets:
                return True
            if blur:
                blur.add_result(record)
                image = blur.blur(image, record)
            canvas = annotate(image, record, status.labels)
            return all([target(canvas) for target in targets])

        yield draw


@contextmanager
def _open_window(show: bool) -> Iterator[ImageConsumer | None]:
    if not show:
        yield None
        return
    with open_window() as window:
        yield (lambda image: window(image) not in QUIT_KEYS) if window else None


@contextmanager
def _open_video(path: Path | None, fps: float) -> Iterator[ImageConsumer | None]:
    if path is None:
        yield None
        return
    with open_video_file(path, fps) as write:
        yield write


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


class FrameProgress:
    """Frames done, on a terminal, where their number is known."""

    def __init__(self, length: int | None) -> None:
        import click

        visible = length is not None and sys.stderr and sys.stderr.isatty()
        self.bar: Any = click.progressbar(length=length, file=sys.stderr) if visible else None

    def __enter__(self) -> FrameProgress:
        if self.bar:
            self.bar.__enter__()
        return self

    def advance(self) -> None:
        """One more is done."""
        if self.bar:
            self.bar.update(1)

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.render_finish()
