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

from pocketsight.device.vision.image import Image

REPEAT_DELAY = 0.005  # seconds after a picture that is the one before: some libraries give it at once, for ever


class RawFrame(NamedTuple):
    """What a device gives."""

    image: Image  # (H, W, 3) RGB, nobody else's
    captured_monotonic: float | None = None  # monotonic seconds when it was exposed; None where the device does not say


@dataclass(frozen=True)
class CaptureDevice:
    """A camera that is open."""

    read: Callable[[], RawFrame | None]  # the next picture; may block, or raise anything; None: no more will come
    fps: float = 0.0  # 0 where it does not say


@dataclass(frozen=True)
class CameraSource:
    """A camera that can be opened, again and again."""

    name: str  # for messages, without secrets
    open: Callable[[], AbstractContextManager[CaptureDevice]]  # may block; raises CameraError
    freeze_timeout: float = math.inf  # seconds of the same picture after which it counts as frozen
    has_sensor_noise: bool = (
        True  # a sensor of this machine: its pictures cannot be the same, if there is anything to see
    )


class CaptureThread(threading.Thread):
    """Opens `source`, hands every shot to `put`, and closes it when `leave` is set or there are no more.

    `put` tells whether the shot was the one before. `changed` is called when the device is open and when all is over.
    """

    def __init__(
        self, source: CameraSource, on_frame: Callable[[CaptureThread, RawFrame], bool], on_change: Callable[[], None]
    ) -> None:
        super().__init__(name="camera", daemon=True)
        self.source, self.on_frame, self.on_change = source, on_frame, on_change
        self.stop = threading.Event()
        self.device: CaptureDevice | None = None
        self.failure: Exception | None = None
        self.finished = False
        self.last_activity = time.monotonic()  # when something last came: the start, the opening, a frame

    def run(self) -> None:
        try:
            with self.source.open() as device:
                self.last_activity, self.device = time.monotonic(), device
                self.on_change()
                self._read_frames(device)
        except Exception as error:  # whatever a camera library raises is told in the main thread
            self.failure = error
        self.finished = True
        self.on_change()

    def _read_frames(self, device: CaptureDevice) -> None:
        while not self.stop.is_set() and (shot := device.read()) is not None:
            self.last_activity = time.monotonic()
            if self.on_frame(self, shot):
                self.stop.wait(REPEAT_DELAY)
