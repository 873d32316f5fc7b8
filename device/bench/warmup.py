"""When counting may begin: caches are filled, memory is touched, the processor's clock has risen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

FRAMES, SECONDS = 20, 0.25  # a block has at least both: governors take a few tenths of a second to raise the clock
FALL = 0.03  # share by which a block's median must be below the one before to count as still falling
MOST = 30.0  # seconds; what has not settled by then will not


class Warmup:
    """The rule: it is warm when neither of the last two blocks had a median more than 3 % below the block before.

    Warming up only makes frames faster, so only a fall counts: what becomes slower by and by is heat, and is measured.
    `asked` is a number of frames, in place of the rule; `most` ends it, where the source has few.
    """

    def __init__(self, asked: int | None = None, most: int | None = None) -> None:
        self.asked, self.most = asked, most
        self.frames, self.seconds = 0, 0.0
        self.medians: list[float] = []
        self.block: list[float] = []
        self.since = 0.0

    def add(self, ms: float, now: float) -> None:
        """A frame took `ms` and ended at `now`, in seconds of any clock."""
        if not self.frames:
            self.begun = self.since = now - ms / 1000
        self.frames += 1
        self.seconds = now - self.begun
        self.block.append(ms)
        if len(self.block) >= FRAMES and now - self.since >= SECONDS:
            self.medians.append(float(np.median(self.block)))
            self.block, self.since = [], now

    @property
    def done(self) -> bool:
        """Whether the next frame counts."""
        if self.asked is not None:
            return self.frames >= self.asked
        return self.settled or self.seconds >= MOST or self.frames == self.most

    @property
    def settled(self) -> bool:
        """Whether the rule holds."""
        last = self.medians[-3:]
        return len(last) == 3 and all(b >= (1 - FALL) * a for a, b in pairwise(last))

    @property
    def how(self) -> str:
        """Why no more frames were left out."""
        return "asked" if self.asked is not None else "settled" if self.settled else "not settled"


def warmed(sittings: Sequence[Warmup]) -> dict[str, Any]:
    """How many sittings there were, and how many frames were left out in all of them; "how" is that of the worst."""
    hows = {warm.how for warm in sittings}
    return {
        "sittings": len(sittings),
        "frames": sum(warm.frames for warm in sittings),
        "seconds": round(sum(warm.seconds for warm in sittings), 3),
        "how": "not settled" if "not settled" in hows else hows.pop(),
    }
