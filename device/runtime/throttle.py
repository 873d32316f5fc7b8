"""How often frames are looked at: as asked, less when the board is hot, seldom when nothing moves."""

from __future__ import annotations

import threading
import time

from pocketsight.device.tracking.motion import MotionDetector
from pocketsight.device.vision.image import Image

IDLE_AFTER = 10.0  # seconds that the full rate is kept after something moved or a face was there


class FrameThrottle:
    """Asked by the loop before and after it looks at a frame. Times are seconds of the monotonic clock."""

    def __init__(self, fps: float | None, idle_fps: float) -> None:
        self.fps, self.idle_fps = fps, idle_fps
        self.duty = 1.0  # share of full speed to work at, so that the board cools
        self.is_idle = False
        self.motion_detector = MotionDetector()
        self._next_due = self._last_processed = 0.0
        self._last_activity = time.monotonic()

    def wait(self, stop: threading.Event) -> bool:
        """Sleep until a frame is due, a quarter of a second at most; whether it is."""
        remaining = self._next_due - time.monotonic()
        return remaining <= 0 or not (stop.wait(min(remaining, 0.25)) or remaining > 0.25)

    def record(self, duration: float) -> None:
        """A frame was looked at for so long: the next is due a beat later, and after a rest if the board is hot."""
        now, interval = time.monotonic(), 1 / self.fps if self.fps else 0.0
        self._next_due = max(self._next_due, now - duration - interval) + interval  # no hurry after a pause
        self._next_due = max(self._next_due, now + (1 / self.duty - 1) * duration)

    def should_skip(self, image: Image, has_faces: bool) -> bool:
        """Whether this frame may be left out: nothing moves, nobody is there, and one was looked at lately."""
        now = time.monotonic()
        if not self.idle_fps:
            self.is_idle = False
            return False
        if self.motion_detector.update(image) or has_faces:
            self._last_activity = now
        self.is_idle = now - self._last_activity > IDLE_AFTER
        if self.is_idle and now - self._last_processed < 1 / self.idle_fps:
            return True
        self._last_processed = now
        return False
