"""How often frames are looked at: as asked, less when the board is hot, seldom when nothing moves."""

from __future__ import annotations

import threading
import time

from edgekit.device.follow.movement import Movement
from edgekit.device.image import Image

AWAKE = 10.0  # seconds that the full rate is kept after something moved or a face was there


class Pace:
    """Asked by the loop before and after it takes a frame. Times are seconds of the monotonic clock."""

    def __init__(self, fps: float | None, idle: float) -> None:
        self.fps, self.idle = fps, idle
        self.factor = 1.0  # of the rate, by which the board is cooled
        self.resting = False
        self.movement = Movement()
        self._due = self._looked = 0.0
        self._awake = time.monotonic()

    def rate(self, camera_fps: float) -> float | None:
        """Frames a second at most now; None: as fast as they come."""
        return self.fps if self.factor >= 1 else min(self.fps or camera_fps, camera_fps) * self.factor

    def wait(self, stop: threading.Event, camera_fps: float) -> bool:
        """Sleep until a frame is due, a quarter of a second at most; whether it is."""
        rate, now = self.rate(camera_fps), time.monotonic()
        if not rate:
            return True
        self._due = max(self._due, now - 1 / rate)  # no hurry after a pause
        if self._due > now and stop.wait(min(self._due - now, 0.25)):
            return False
        return time.monotonic() >= self._due

    def took(self, camera_fps: float) -> None:
        """A frame was taken; the next is due a beat later."""
        if rate := self.rate(camera_fps):
            self._due += 1 / rate

    def rest(self, image: Image, faces: bool) -> bool:
        """Whether this frame may be left out: nothing moves, nobody is there, and one was looked at lately."""
        if not self.idle:
            return False
        now = time.monotonic()
        if self.movement.moved(image) or faces:
            self._awake = now
        self.resting = now - self._awake > AWAKE
        if self.resting and now - self._looked < 1 / self.idle:
            return True
        self._looked = now
        return False
