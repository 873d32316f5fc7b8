"""Measures the stages of a frame."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

StageHook = Callable[[str], None]
"""Called with the name of a stage when the stage ends."""


def no_timing(stage: str) -> None:
    """A hook that measures nothing."""


class StageTimer:
    """A hook that adds up milliseconds by stage in `stages_ms`. The first stage begins when the timer is created."""

    def __init__(self) -> None:
        self.stages_ms: dict[str, float] = {}
        self.start = self.stage_start = perf_counter()

    def __call__(self, stage: str) -> None:
        now = perf_counter()
        self.stages_ms[stage] = self.stages_ms.get(stage, 0.0) + 1000 * (now - self.stage_start)
        self.stage_start = now
