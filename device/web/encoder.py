"""Pictures for those who watch.

One thread draws and encodes the newest frame, for all of them together and only while somebody watches; the loop
leaves nothing but a reference. So neither slow nor many viewers can hold it up.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

import cv2

from pocketsight.device.annotators.blur import HISTORY_SECONDS, FaceBlurrer
from pocketsight.device.annotators.labels import annotate
from pocketsight.device.results import FrameResult
from pocketsight.device.system.priority import lower_thread_priority
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.device.vision.resize import resize

MAX_FPS = 10.0  # pictures a second at most
MAX_SIDE = 640  # pixels of the longer side at most
JPEG_QUALITY = 75  # of the JPEGs; they are looked at and gone
STALE_AFTER = 10.0  # seconds after which a frame is no live picture any more
REST_FACTOR = 3  # times as long as a picture took, the thread rests at least: it uses a quarter of one core at most

PreviewFrame = tuple[Image, FrameResult]


def encode_preview(
    frame: PreviewFrame, labels: tuple[str, ...], blur: FaceBlurrer | None, max_side: int = MAX_SIDE
) -> bytes:
    """A frame as JPEG, at most `side` pixels long, with its boxes and labels, and without its faces if `blur`."""
    image, record = frame
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    small = resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
    if blur:
        small = blur.blur(small, record, scale)
    faces = [replace(seen, box=Box(*(scale * edge for edge in seen.box))) for seen in record.faces]
    annotated = annotate(small, replace(record, faces=faces), labels)
    _, data = cv2.imencode(".jpg", to_rgb(annotated), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


class PreviewEncoder:
    """`show` belongs to the loop; `watch` and `close` may be called by any thread; `publish` is called by ours.

    With `blur` a picture waits until the next one is due, so that a face found only then is covered in it, too.
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

    def update(self, image: Image, record: FrameResult) -> None:
        """A frame was looked at. Nobody may write into `image` after this."""
        if self.blur:
            self.blur.add_result(record)
        with self.ready:
            self.latest = image, record
            if self.is_watched:
                self.ready.notify()

    def set_watched(self, is_watched: bool) -> None:
        """Whether anybody looks."""
        with self.ready:
            self.is_watched, self.delayed = is_watched, None
            self.ready.notify()

    def close(self) -> None:
        """Encode no more."""
        self.closing.set()
        with self.ready:
            self.ready.notify()
        self.thread.join(timeout=5)

    def _run(self) -> None:
        lower_thread_priority()
        while (shot := self._wait_for_frame()) is not None:
            begun = time.monotonic()
            try:
                if due := self._frame_to_encode(shot):
                    self.publish(encode_preview(due, self.labels(), self.blur))
            except Exception:  # a mistake of ours must not end the preview of a run of months
                traceback.print_exc(file=sys.stderr)
                self.closing.wait(60)
            took = time.monotonic() - begun
            self.closing.wait(max(self.interval - took, REST_FACTOR * took))

    def _wait_for_frame(self) -> PreviewFrame | None:
        """The newest frame, once there is one that was not taken yet and somebody watches; None at the end."""
        with self.ready:
            self.ready.wait_for(lambda: self.closing.is_set() or (self.is_watched and self.latest is not None))
            shot, self.latest = self.latest, None
            return None if self.closing.is_set() else shot

    def _frame_to_encode(self, shot: PreviewFrame) -> PreviewFrame | None:
        """The frame to encode now that `shot` is the newest."""
        if time.monotonic() - shot[1].processed_monotonic > STALE_AFTER:
            return None
        if self.blur is None:
            return shot
        with self.ready:
            held, self.delayed = self.delayed, shot
        return held if held and shot[1].captured_monotonic - held[1].captured_monotonic < HISTORY_SECONDS - 1 else None
