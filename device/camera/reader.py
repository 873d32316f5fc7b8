"""One opening of a camera, from open to close, in a thread of its own.

Opening, reading and closing may all hang in a driver, and a thread that hangs cannot be killed. So it can be left
alone: it lets go of the device as soon as the driver lets go of it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from pocketsight.device.image import Image

BREATH = 0.005  # seconds after a picture that is the one before: some libraries give it at once, for ever


class Shot(NamedTuple):
    """What a device gives."""

    image: Image  # (H, W, 3) RGB, nobody else's
    born: float | None = None  # monotonic seconds when it was exposed; None where the device does not say


@dataclass(frozen=True)
class Device:
    """A camera that is open."""

    read: Callable[[], Shot | None]  # the next picture; may block, or raise anything; None: no more will come
    fps: float = 0.0  # 0 where it does not say


@dataclass(frozen=True)
class Source:
    """A camera that can be opened, again and again."""

    name: str  # for messages, without secrets
    open: Callable[[], AbstractContextManager[Device]]  # may block; raises CameraError
    still: float = math.inf  # seconds of the same picture after which it counts as frozen
    noisy: bool = True  # a sensor of this machine: its pictures cannot be the same, if there is anything to see


class Reader(threading.Thread):
    """Opens `source`, hands every shot to `put`, and closes it when `leave` is set or there are no more.

    `put` tells whether the shot was the one before. `changed` is called when the device is open and when all is over.
    """

    def __init__(self, source: Source, put: Callable[[Reader, Shot], bool], changed: Callable[[], None]) -> None:
        super().__init__(name="camera", daemon=True)
        self.source, self.put, self.changed = source, put, changed
        self.leave = threading.Event()
        self.device: Device | None = None
        self.failure: Exception | None = None
        self.over = False
        self.heard = time.monotonic()  # when something last came: the start, the opening, a frame

    def run(self) -> None:
        try:
            with self.source.open() as device:
                self.heard, self.device = time.monotonic(), device
                self.changed()
                self._read(device)
        except Exception as error:  # whatever a camera library raises is told in the main thread
            self.failure = error
        self.over = True
        self.changed()

    def _read(self, device: Device) -> None:
        while not self.leave.is_set() and (shot := device.read()) is not None:
            self.heard = time.monotonic()
            if self.put(self, shot):
                self.leave.wait(BREATH)
