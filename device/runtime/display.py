"""What people look at during a run or after it: a window, an annotated video, a progress bar."""

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
