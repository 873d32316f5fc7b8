"""Where the time of one frame goes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

StageHook = Callable[[str], None]  # called with a stage's name when the stage ends


def no_timing(stage: str) -> None:
    """Time nothing."""


class StageTimer:
    """Milliseconds a stage since the last lap; a stage that comes twice adds up."""

    def __init__(self) -> None:
        self.stages_ms: dict[str, float] = {}
        self.start = self.stage_start = perf_counter()

    def __call__(self, stage: str) -> None:
        now = perf_counter()
        self.stages_ms[stage] = self.stages_ms.get(stage, 0.0) + 1000 * (now - self.stage_start)
        self.stage_start = now
