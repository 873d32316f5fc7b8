"""Preview images for the viewers of the page.

One thread draws and encodes the newest frame, once for all viewers and only while there are any. The loop only hands
over a reference, so that neither slow nor many viewers can delay it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from pocketsight.device.annotators.blur import HISTORY_SECONDS, FaceBlurrer
from pocketsight.device.annotators.labels import annotate
from pocketsight.device.results import DEFAULT_STALE_AFTER, FrameResult
from pocketsight.device.system.priority import lower_thread_priority
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import encode_jpeg
from pocketsight.device.vision.pixels import Content, choose_reduction, frame_size, reduced_image
from pocketsight.device.vision.resize import resize

logger = logging.getLogger(__name__)

# Images a second at most.
MAX_FPS = 10.0
# Pixels of the longer side at most.
MAX_SIDE = 640
JPEG_QUALITY = 75
# The thread sleeps this many times as long as an image took: it uses a quarter of one core at most.
REST_FACTOR = 3
# Seconds without images after an error in drawing.
ERROR_PAUSE = 60.0

PreviewFrame = tuple[Content, FrameResult]


def encode_preview(
    frame: PreviewFrame, labels: tuple[str, ...], blur: FaceBlurrer | None, max_side: int = MAX_SIDE
) -> bytes:
    """Encode a frame as JPEG with boxes and labels, at most `max_side` pixels long; `blur` hides its faces."""
    content, result = frame
    height, width = frame_size(content)
    scale = min(1.0, max_side / max(height, width))
    image = reduced_image(content, choose_reduction(scale))
    small = resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
    if blur:
        small = blur.blur(small, result, scale)
    faces = [replace(face, box=Box(*(scale * edge for edge in face.box))) for face in result.faces]
    return encode_jpeg(annotate(small, replace(result, faces=faces), labels), JPEG_QUALITY)


class PreviewEncoder:
    """The thread that encodes.

    The loop calls `update`; any thread may call `set_watched` and `close`; the thread calls `publish` with each JPEG.
    With `blur`, a frame is delayed until the next one is due, so that a face detected only then is hidden in it too.
    """

    def __init__(
        self, labels: Callable[[], tuple[str, ...]], publish: Callable[[bytes], None], blur: bool, fps: float = MAX_FPS
    ) -> None:
        self.labels, self.publish, self.interval = labels, publish, 1 / fps
        self.blur = FaceBlurrer() if blur else None
        self.latest: PreviewFrame | None = None
        self.delayed: PreviewFrame | None = None
        self.is_watched = False
        self.ready = threading.Condition()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._run, name="preview", daemon=True)
        self.thread.start()

    def update(self, content: Content, result: FrameResult) -> None:
        """Hand over a processed frame. Nobody may write into its image afterwards."""
        if self.blur:
            self.blur.add_result(result)
        with self.ready:
            self.latest = content, result
            if self.is_watched:
                self.ready.notify()

    def set_watched(self, is_watched: bool) -> None:
        """Whether there are viewers."""
        with self.ready:
            self.is_watched, self.delayed = is_watched, None
            self.ready.notify()

    def close(self) -> None:
        """Stop the thread."""
        self.closing.set()
        with self.ready:
            self.ready.notify()
        self.thread.join(timeout=5)

    def _run(self) -> None:
        lower_thread_priority()
        while (frame := self._wait_for_frame()) is not None:
            started = time.monotonic()
            try:
                if due := self._frame_to_encode(frame):
                    self.publish(encode_preview(due, self.labels(), self.blur))
            except Exception:  # a bug must not end the preview of a run that lasts for months
                logger.exception("the preview failed; next attempt in %.0f s", ERROR_PAUSE)
                self.closing.wait(ERROR_PAUSE)
            duration = time.monotonic() - started
            self.closing.wait(max(self.interval - duration, REST_FACTOR * duration))

    def _wait_for_frame(self) -> PreviewFrame | None:
        """The newest frame, when there is a new one and a viewer; None when the encoder is closed."""
        with self.ready:
            self.ready.wait_for(lambda: self.closing.is_set() or (self.is_watched and self.latest is not None))
            frame, self.latest = self.latest, None
            return None if self.closing.is_set() else frame

    def _frame_to_encode(self, newest: PreviewFrame) -> PreviewFrame | None:
        """The frame to encode now: the newest, or with blur the one before."""
        if time.monotonic() - newest[1].processed_monotonic > DEFAULT_STALE_AFTER:
            return None
        if self.blur is None:
            return newest
        with self.ready:
            delayed, self.delayed = self.delayed, newest
        if delayed is None:
            return None
        gap = newest[1].captured_monotonic - delayed[1].captured_monotonic
        return delayed if gap < HISTORY_SECONDS - 1 else None
