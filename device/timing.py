"""Where the time of one frame goes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

Lap = Callable[[str], None]  # called with a stage's name when the stage ends


def no_lap(stage: str) -> None:
    """Time nothing."""


class Laps:
    """Milliseconds a stage since the last lap; a stage that comes twice adds up."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self.start = self.last = perf_counter()

    def __call__(self, stage: str) -> None:
        now = perf_counter()
        self.ms[stage] = self.ms.get(stage, 0.0) + 1000 * (now - self.last)
        self.last = now
