"""When counting may begin: caches are filled, memory is touched, the processor's clock has risen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

MIN_BLOCK_FRAMES, MIN_BLOCK_SECONDS = (
    20,
    0.25,
)  # a block has at least both: governors take a few tenths of a second to raise the clock
SETTLED_TOLERANCE = 0.03  # share by which a block's median must be below the one before to count as still falling
MAX_WARMUP_SECONDS = 30.0  # seconds; what has not settled by then will not


class Warmup:
    """The rule: it is warm when neither of the last two blocks had a median more than 3 % below the block before.

    Warming up only makes frames faster, so only a fall counts: what becomes slower by and by is heat, and is measured.
    `asked` is a number of frames, in place of the rule; `most` ends it, where the source has few.
    """

    def __init__(self, requested_frames: int | None = None, max_frames: int | None = None) -> None:
        self.requested_frames, self.max_frames = requested_frames, max_frames
        self.frames, self.seconds = 0, 0.0
        self.medians: list[float] = []
        self.block: list[float] = []
        self.block_start = 0.0

    def add(self, ms: float, now: float) -> None:
        """A frame took `ms` and ended at `now`, in seconds of any clock."""
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
        """Whether the rule holds."""
        last = self.medians[-3:]
        return len(last) == 3 and all(b >= (1 - SETTLED_TOLERANCE) * a for a, b in pairwise(last))

    @property
    def end_reason(self) -> str:
        """Why no more frames were left out."""
        return "asked" if self.requested_frames is not None else "settled" if self.settled else "not settled"


def summarize_warmup(warmups: Sequence[Warmup]) -> dict[str, Any]:
    """How many sittings there were, and how many frames were left out in all of them; "how" is that of the worst."""
    reasons = {warm.end_reason for warm in warmups}
    return {
        "sittings": len(warmups),
        "frames": sum(warm.frames for warm in warmups),
        "seconds": round(sum(warm.seconds for warm in warmups), 3),
        "how": "not settled" if "not settled" in reasons else reasons.pop(),
    }
