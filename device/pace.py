"""How often frames are looked at: as asked, less when the board is hot, seldom when nothing moves."""

from __future__ import annotations

import threading
import time

from pocketsight.device.follow.movement import Movement
from pocketsight.device.image import Image

AWAKE = 10.0  # seconds that the full rate is kept after something moved or a face was there


class Pace:
    """Asked by the loop before and after it looks at a frame. Times are seconds of the monotonic clock."""

    def __init__(self, fps: float | None, idle: float) -> None:
        self.fps, self.idle = fps, idle
        self.factor = 1.0  # share of full speed to work at, so that the board cools
        self.resting = False
        self.movement = Movement()
        self._due = self._looked = 0.0
        self._awake = time.monotonic()

    def wait(self, stop: threading.Event) -> bool:
        """Sleep until a frame is due, a quarter of a second at most; whether it is."""
        wanted = self._due - time.monotonic()
        return wanted <= 0 or not (stop.wait(min(wanted, 0.25)) or wanted > 0.25)

    def took(self, seconds: float) -> None:
        """A frame was looked at for so long: the next is due a beat later, and after a rest if the board is hot."""
        now, beat = time.monotonic(), 1 / self.fps if self.fps else 0.0
        self._due = max(self._due, now - seconds - beat) + beat  # no hurry after a pause
        self._due = max(self._due, now + (1 / self.factor - 1) * seconds)

    def rest(self, image: Image, faces: bool) -> bool:
        """Whether this frame may be left out: nothing moves, nobody is there, and one was looked at lately."""
        now = time.monotonic()
        if not self.idle:
            self.resting = False
            return False
        if self.movement.moved(image) or faces:
            self._awake = now
        self.resting = now - self._awake > AWAKE
        if self.resting and now - self._looked < 1 / self.idle:
            return True
        self._looked = now
        return False
