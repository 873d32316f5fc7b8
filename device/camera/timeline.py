"""Positions of the frames of a recording, in seconds: by the time stamps of the stream, or else by counting."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

DEFAULT_FPS = 25.0  # of streams that state no rate that can be true
BELIEVABLE_FPS = 0.01, 240.0  # containers state 1000 or 60000 where they mean the resolution of their time stamps


def believable_fps(*rates: object) -> float | None:
    """The first of several frame rates that can be true; None if there is none."""
    lowest, highest = BELIEVABLE_FPS
    for rate in rates:
        fps = float(rate) if rate else 0.0  # type: ignore[arg-type]  # floats and fractions
        if lowest <= fps <= highest:
            return fps
    return None


def estimate_fps(positions: Iterable[float]) -> float | None:
    """The frame rate of frames at these positions, in seconds; None where they do not show it."""
    times = list(positions)
    steps = sorted(later - earlier for earlier, later in pairwise(times))
    return believable_fps(1 / steps[len(steps) // 2]) if steps and steps[0] > 0 else None


class Timeline:
    """Call `position` for each frame, in order. Positions always increase."""

    def __init__(self, fps: float) -> None:
        self.step = 1 / fps  # seconds from one frame to the next where stamps are missing
        self.last: float | None = None
        self.offset = 0.0  # of the stamps, after they started again

    def position(self, stamp: float | None) -> float:
        """The position of a frame with a time stamp, in seconds, or without one."""
        if self.last is None:
            self.last = max(0.0, stamp or 0.0)
            return self.last
        if stamp is None or stamp + self.offset <= self.last:  # no stamps, or they stand still or start again
            self.last += self.step
            self.offset = self.last - stamp if stamp is not None else self.offset
        else:
            self.last = stamp + self.offset
        return self.last
