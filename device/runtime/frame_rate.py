"""Frame rate control: the requested rate, less when the board is hot, and the idle rate when nothing moves."""

from __future__ import annotations

import threading
import time

from pocketsight.device.tracking.motion import MotionDetector
from pocketsight.device.vision.image import Image

# Seconds without motion or faces after which the idle rate begins.
IDLE_AFTER = 10.0


class FrameThrottle:
    """The loop calls it before and after it processes a frame. Times are seconds of the monotonic clock."""

    def __init__(self, fps: float | None, idle_fps: float) -> None:
        self.fps, self.idle_fps = fps, idle_fps
        self.duty = 1.0  # share of full speed, 0..1, set by the temperature control
        self.is_idle = False
        self.motion_detector = MotionDetector()
        self._next_due = self._last_processed = 0.0
        self._last_activity = time.monotonic()

    def wait(self, stop: threading.Event) -> bool:
        """Sleep until a frame is due, at most a quarter of a second; returns whether one is due."""
        remaining = self._next_due - time.monotonic()
        return remaining <= 0 or not (stop.wait(min(remaining, 0.25)) or remaining > 0.25)

    def record(self, duration: float) -> None:
        """A frame took `duration` seconds to process; computes when the next one is due."""
        now, interval = time.monotonic(), 1 / self.fps if self.fps else 0.0
        # The maximum: frames that were missed in a pause are not made up for.
        self._next_due = max(self._next_due, now - duration - interval) + interval
        self._next_due = max(self._next_due, now + (1 / self.duty - 1) * duration)

    def should_skip(self, image: Image, has_faces: bool) -> bool:
        """Whether to skip this frame: nothing moves, there are no faces, and the idle rate allows no frame yet."""
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
