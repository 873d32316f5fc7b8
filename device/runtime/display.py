"""Annotated frames for people: a window and a video file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketsight.device.annotators.blur import FaceBlurrer
from pocketsight.device.annotators.labels import annotate
from pocketsight.device.results import FrameResult
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.runtime.window import QUIT_KEYS, open_window
from pocketsight.device.sinks.video import open_video_file
from pocketsight.device.vision.image import Image

ImageConsumer = Callable[[Image], bool]
"""Takes an annotated frame (H, W, 3), RGB; returns False to end the run."""


@contextmanager
def open_display(config: RunConfig, fps: float, status: RunStatus) -> Iterator[Callable[[Image, FrameResult], bool]]:
    """Yield a function that annotates a frame for the window and the video; it returns False to end the run.

    `fps` is the frame rate of the video. Raises LogError if the video cannot be opened.
    """
    blur = FaceBlurrer() if config.blur else None
    with _open_video(config.save_video, fps) as video, _open_window(config.show) as window:
        targets = [target for target in (video, window) if target]

        def draw(image: Image, result: FrameResult) -> bool:
            if not targets:
                return True
            if blur:
                blur.add_result(result)
                image = blur.blur(image, result)
            canvas = annotate(image, result, status.labels)
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
