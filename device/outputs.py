"""What people look at during a run or after it: a window, an annotated video, a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from pocketsight.device.annotate import annotate
from pocketsight.device.blur import Blur
from pocketsight.device.errors import LogError
from pocketsight.device.image import Image, fit, to_rgb
from pocketsight.device.plan import Plan
from pocketsight.device.record import Record
from pocketsight.device.screen import ENDS, screen
from pocketsight.device.state import State

Target = Callable[[Image], bool]  # takes an annotated frame; False when the person wants no more


@contextmanager
def drawn(plan: Plan, fps: float, state: State) -> Iterator[Callable[[Image, Record], bool]]:
    """A call that draws a record into its frame for the video and the window; False ends the run."""
    blur = Blur() if plan.blur else None
    with _video(plan.save, fps) as video, _window(plan.show) as window:
        targets = [target for target in (video, window) if target]

        def draw(image: Image, record: Record) -> bool:
            if not targets:
                return True
            if blur:
                blur.saw(record)
                image = blur.cover(image, record)
            canvas = annotate(image, record, state.labels)
            return all([target(canvas) for target in targets])

        yield draw


@contextmanager
def _window(show: bool) -> Iterator[Target | None]:
    if not show:
        yield None
        return
    with screen() as window:
        yield (lambda image: window(image) not in ENDS) if window else None


@contextmanager
def _video(path: Path | None, fps: float) -> Iterator[Target | None]:
    if path is None:
        yield None
        return
    with video_file(path, fps) as write:
        yield write


@contextmanager
def video_file(path: Path, fps: float) -> Iterator[Callable[[Image], bool]]:
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
        writer.write(to_rgb(fit(image, size)[0]))
        count += 1
        return True

    try:
        yield write
    finally:
        if writer is not None:
            writer.release()
            if _frames_in(part) < count:
                part.unlink(missing_ok=True)
                raise LogError(f"{path} could not be written whole; is the disk full?")
            os.replace(part, path)


def _frames_in(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = round(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    return count


class Bar:
    """Frames done, on a terminal, where their number is known."""

    def __init__(self, length: int | None) -> None:
        import click

        shown = length is not None and sys.stderr and sys.stderr.isatty()
        self.bar: Any = click.progressbar(length=length, file=sys.stderr) if shown else None

    def __enter__(self) -> Bar:
        if self.bar:
            self.bar.__enter__()
        return self

    def step(self) -> None:
        """One more is done."""
        if self.bar:
            self.bar.update(1)

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.render_finish()
