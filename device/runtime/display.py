"""Annotated frames for people: a window and a video file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

from pocketsight.device.annotators.blur import FaceBlurrer
from pocketsight.device.annotators.labels import annotate
from pocketsight.device.camera import Frame
from pocketsight.device.results import FrameResult
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.runtime.window import QUIT_KEYS, open_window
from pocketsight.device.sinks.video import open_video_file
from pocketsight.device.vision.image import Image

MAX_PAUSE = 10.0  # seconds that a video shows at most where a camera gave no frames

ImageConsumer = Callable[[Image], bool]
"""Takes an annotated frame (H, W, 3), RGB; returns False to end the run."""


@contextmanager
def open_display(
    config: RunConfig, fps: float, is_live: bool, status: RunStatus
) -> Iterator[Callable[[Frame, FrameResult], bool]]:
    """Yield a function that annotates a frame for the window and the video; it returns False to end the run.

    `fps` is the frame rate of the video; with `is_live` it shows the time that passed. Raises LogError if the video
    cannot be opened.
    """
    blur = FaceBlurrer() if config.blur else None
    with _open_video(config.save_video, fps, is_live) as video, _open_window(config.show) as window:

        def seconds(frame: Frame) -> float:
            if frame.position is not None:
                return frame.position
            return frame.captured_monotonic if is_live else frame.index / fps

        def draw(frame: Frame, result: FrameResult) -> bool:
            if not (video or window):
                return True
            image = frame.image
            if blur:
                blur.add_result(result)
                image = blur.blur(image, result)
            canvas = annotate(image, result, status.labels)
            if video:
                video(canvas, seconds(frame))
            return window(canvas) if window else True

        yield draw


@contextmanager
def _open_window(show: bool) -> Iterator[ImageConsumer | None]:
    if not show:
        yield None
        return
    with open_window() as window:
        yield (lambda image: window(image) not in QUIT_KEYS) if window else None


@contextmanager
def _open_video(path: Path | None, fps: float, is_live: bool) -> Iterator[Callable[[Image, float], bool] | None]:
    if path is None:
        yield None
        return
    with open_video_file(path, fps, MAX_PAUSE if is_live else inf) as write:
        yield write
