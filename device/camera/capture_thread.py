"""A thread that opens a camera, reads it and closes it.

Each of these calls can hang in a driver, and a thread that hangs cannot be killed. So a thread can be abandoned: it
releases the device when the driver returns.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from pocketsight.device.inference.sensor import SensorOutputs
from pocketsight.device.vision.pixels import Content
from pocketsight.device.vision.turn import UPRIGHT, Turn

REPEAT_DELAY = 0.005  # seconds after a repeated image: some libraries return the last one at once, endlessly


class RawFrame(NamedTuple):
    """An image as a device gives it."""

    content: Content  # not shared with the device
    captured_monotonic: float | None = None  # monotonic seconds of the exposure; None where the device has none
    sensor: SensorOutputs | None = None  # of a camera that runs the detector itself


@dataclass(frozen=True)
class CaptureDevice:
    """An open camera."""

    read: Callable[[], RawFrame | None]  # may block, or raise any exception; None at the end
    fps: float = 0.0  # 0 if unknown


@dataclass(frozen=True)
class CameraSource:
    """A camera that can be opened repeatedly."""

    name: str  # for messages, without passwords
    open: Callable[[], AbstractContextManager[CaptureDevice]]  # may block; raises CameraError
    freeze_timeout: float = math.inf  # seconds without a change after which the image counts as frozen
    # True for sensors of this machine: noise makes each of their images different, unless there is no light.
    has_sensor_noise: bool = True
    turn: Turn = UPRIGHT  # of each frame, where the camera does not turn it itself
    open_timeout: float = 0.0  # seconds, where opening may take longer than that of ReconnectConfig


class CaptureThread(threading.Thread):
    """Opens `source`, passes each frame to `on_frame`, and closes the device when `stop` is set or frames end.

    `on_frame` returns whether the image repeats the one before. `on_change` is called after the device was opened and
    when the thread ends. An exception of the camera library ends the thread and is kept in `failure`.
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
        self.last_activity = time.monotonic()  # time of the start, the opening, or the last frame

    def run(self) -> None:
        try:
            with self.source.open() as device:
                self.last_activity, self.device = time.monotonic(), device
                self.on_change()
                self._read_frames(device)
        except Exception as error:  # camera libraries raise anything; the reading thread reports it
            self.failure = error
        self.finished = True
        self.on_change()

    def _read_frames(self, device: CaptureDevice) -> None:
        while not self.stop.is_set() and (frame := device.read()) is not None:
            self.last_activity = time.monotonic()
            if self.on_frame(self, frame):
                self.stop.wait(REPEAT_DELAY)
