"""`edgekit run`: watch a camera, log each frame, and draw on request."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import cv2

from edgekit.device.annotate import annotate
from edgekit.device.camera import Frame, open_camera
from edgekit.device.errors import LogError
from edgekit.device.image import Image, fit, to_rgb
from edgekit.device.interpreter import Loaded
from edgekit.device.pipeline import records
from edgekit.device.record import Record, open_log
from edgekit.device.screen import ENDS, screen, stopped_by_signals

Looked = tuple[Frame, Record]


@dataclass
class Watched:
    """What a run saw, for the line at its end."""

    frames: int = 0
    faces: int = 0
    dropped: int = 0
    seconds: float = 0.0
    named: dict[str, int] = field(default_factory=dict)


def watch(
    source: str, size: tuple[int, int], detector: Loaded, sentiment: Loaded, log: str, save: Path | None, show: bool,
    limit: int | None = None,
) -> Watched:  # fmt: skip
    """Log every frame of `source` until it ends, `limit` frames are done or a signal asks to stop."""
    watched, start = Watched(), time.monotonic()
    with ExitStack() as stack:
        stop = stack.enter_context(stopped_by_signals())
        sink = stack.enter_context(open_log(log))
        camera = stack.enter_context(open_camera(source, size, stop))
        drawn: list[Callable[[Image], bool]] = []
        if save:
            drawn.append(stack.enter_context(video_file(save, camera.fps)))
        if show and (window := stack.enter_context(screen())):
            drawn.append(lambda image: window(image) not in ENDS)
        looked = records(camera, detector, sentiment)
        length = None if log == "-" else limit or camera.length
        for frame, record in stack.enter_context(progress(looked, length)):
            sink.write(record)
            _count(watched, record)
            if drawn and not _draw(frame, record, sentiment.spec.answers, drawn):
                break
            if watched.frames == limit:
                break
        watched.dropped = camera.dropped
    watched.seconds = time.monotonic() - start
    return watched


def progress(items: Iterator[Looked], length: int | None) -> AbstractContextManager[Iterable[Looked]]:
    """A progress bar with the time left, on a terminal, where the number of frames is known."""
    if length is None or not sys.stderr.isatty():
        return nullcontext(items)
    return click.progressbar(items, length=length, file=sys.stderr)


def _count(watched: Watched, record: Record) -> None:
    watched.frames += 1
    watched.faces += len(record.faces)
    for _, sentiment in record.faces:
        watched.named[sentiment.label] = watched.named.get(sentiment.label, 0) + 1


def _draw(frame: Frame, record: Record, labels: tuple[str, ...], targets: list[Callable[[Image], bool]]) -> bool:
    canvas = annotate(frame.image, record, labels)
    return all([target(canvas) for target in targets])


@contextmanager
def video_file(path: Path, fps: float) -> Iterator[Callable[[Image], bool]]:
    """A video of annotated frames, whole when the run ends. The first frame decides its size; others are fitted.

    Raises LogError when it cannot be written, also when the disk fills up on the way.
    """
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
                raise LogError(f"{path} cannot be written as a video; does its folder exist, and does it end in .mp4?")
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
