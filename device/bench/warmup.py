"""The warm-up: caches fill, memory is allocated, and the clock of the processor rises."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pocketsight.device.bench.reports import WarmupSummary

# A block has at least this many frames and seconds: governors need a few tenths of a second to raise the clock.
MIN_BLOCK_FRAMES, MIN_BLOCK_SECONDS = 20, 0.25
SETTLED_TOLERANCE = 0.03  # a median lower by more than this share than the one before is still decreasing
MAX_WARMUP_SECONDS = 30.0


class Warmup:
    """The rule: a run is warm when neither of the last two blocks had a median over 3 % below the block before.

    Only a decrease counts: a slow increase is thermal throttling, which belongs to the measurement.
    `requested_frames` replaces the rule. `max_frames` is a limit for sources that have few frames.
    """

    def __init__(self, requested_frames: int | None = None, max_frames: int | None = None) -> None:
        self.requested_frames, self.max_frames = requested_frames, max_frames
        self.frames, self.seconds = 0, 0.0
        self.medians: list[float] = []
        self.block: list[float] = []
        self.block_start = 0.0

    def add(self, ms: float, now: float) -> None:
        """Add a frame that took `ms` and ended at `now`, in seconds of any clock."""
        if not self.frames:
            self.start = self.block_start = now - ms / 1000
        self.frames += 1
        self.seconds = now - self.start
        self.block.append(ms)
        if len(self.block) >= MIN_BLOCK_FRAMES and now - self.block_start >= MIN_BLOCK_SECONDS:
            self.medians.append(float(np.median(self.block)))
            self.block, self.block_start = [], now

    @property
    def done(self) -> bool:
        """Whether the next frame counts."""
        if self.requested_frames is not None:
            return self.frames >= self.requested_frames
        return self.settled or self.seconds >= MAX_WARMUP_SECONDS or self.frames == self.max_frames

    @property
    def settled(self) -> bool:
        """Whether the rule is met."""
        last = self.medians[-3:]
        return len(last) == 3 and all(b >= (1 - SETTLED_TOLERANCE) * a for a, b in pairwise(last))

    @property
    def end_reason(self) -> str:
        """Why the warm-up ended: "requested", "settled" or "timed_out"."""
        return "requested" if self.requested_frames is not None else "settled" if self.settled else "timed_out"


def summarize_warmup(warmups: Sequence[Warmup]) -> WarmupSummary:
    """All sessions together; `end_reason` is that of the worst."""
    reasons = {warm.end_reason for warm in warmups}
    return {
        "sessions": len(warmups),
        "frames": sum(warm.frames for warm in warmups),
        "seconds": round(sum(warm.seconds for warm in warmups), 3),
        "end_reason": "timed_out" if "timed_out" in reasons else reasons.pop(),
    }
