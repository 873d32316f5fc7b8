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

from pocketsight.device.annotate import annotate
from pocketsight.device.background import step_back
from pocketsight.device.blur import KEPT, Blur
from pocketsight.device.boxes import Box
from pocketsight.device.image import Image, resize, to_rgb
from pocketsight.device.record import Record

FPS = 10.0  # pictures a second at most
SIDE = 640  # pixels of the longer side at most
QUALITY = 75  # of the JPEGs; they are looked at and gone
STALE = 10.0  # seconds after which a frame is no live picture any more
REST = 3  # times as long as a picture took, the thread rests at least: it uses a quarter of one core at most

Shot = tuple[Image, Record]


def picture(shot: Shot, labels: tuple[str, ...], blur: Blur | None, side: int = SIDE) -> bytes:
    """A frame as JPEG, at most `side` pixels long, with its boxes and labels, and without its faces if `blur`."""
    image, record = shot
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    small = resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
    if blur:
        small = blur.cover(small, record, scale)
    faces = [replace(seen, box=Box(*(scale * edge for edge in seen.box))) for seen in record.faces]
    drawn = annotate(small, replace(record, faces=faces), labels)
    _, data = cv2.imencode(".jpg", to_rgb(drawn), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()


class Encoder:
    """`show` belongs to the loop; `watch` and `close` may be called by any thread; `publish` is called by ours.

    With `blur` a picture waits until the next one is due, so that a face found only then is covered in it, too.
    """

    def __init__(
        self, labels: Callable[[], tuple[str, ...]], publish: Callable[[bytes], None], blur: bool, fps: float = FPS
    ) -> None:  # fmt: skip
        self.labels, self.publish, self.interval = labels, publish, 1 / fps
        self.blur = Blur() if blur else None
        self.newest: Shot | None = None
        self.held: Shot | None = None
        self.watched = False
        self.ready = threading.Condition()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._run, name="preview", daemon=True)
        self.thread.start()

    def show(self, image: Image, record: Record) -> None:
        """A frame was looked at. Nobody may write into `image` after this."""
        if self.blur:
            self.blur.saw(record)
        with self.ready:
            self.newest = image, record
            if self.watched:
                self.ready.notify()

    def watch(self, watched: bool) -> None:
        """Whether anybody looks."""
        with self.ready:
            self.watched, self.held = watched, None
            self.ready.notify()

    def close(self) -> None:
        """Encode no more."""
        self.closing.set()
        with self.ready:
            self.ready.notify()
        self.thread.join(timeout=5)

    def _run(self) -> None:
        step_back()
        while (shot := self._next()) is not None:
            begun = time.monotonic()
            try:
                if due := self._due(shot):
                    self.publish(picture(due, self.labels(), self.blur))
            except Exception:  # a mistake of ours must not end the preview of a run of months
                traceback.print_exc(file=sys.stderr)
                self.closing.wait(60)
            took = time.monotonic() - begun
            self.closing.wait(max(self.interval - took, REST * took))

    def _next(self) -> Shot | None:
        """The newest frame, once there is one that was not taken yet and somebody watches; None at the end."""
        with self.ready:
            self.ready.wait_for(lambda: self.closing.is_set() or (self.watched and self.newest is not None))
            shot, self.newest = self.newest, None
            return None if self.closing.is_set() else shot

    def _due(self, shot: Shot) -> Shot | None:
        """The frame to encode now that `shot` is the newest."""
        if time.monotonic() - shot[1].seen > STALE:
            return None
        if self.blur is None:
            return shot
        with self.ready:
            held, self.held = self.held, shot
        return held if held and shot[1].born - held[1].born < KEPT - 1 else None
