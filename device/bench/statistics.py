"""From timings to numbers: order statistics, and how sure a ratio of two medians is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Times = Sequence[float]  # milliseconds, in the order in which they were taken

PERCENTILES = 50, 90, 95, 99
KEPT = 500  # samples a stage in a report: the median of so many is known to about 1 % where the spread is 20 %
RESAMPLES = 2000
LEVEL = 0.99  # of an interval; high, since a report has nine stages and each could be wrong
BLOCKS = 25  # blocks a resample: disturbances last for several frames, and resampling single ones would overlook it
SAME = 0.02  # two runs of the same thing differ by as much, from where its memory lies: no news below it


class Ratio(NamedTuple):
    """Of two medians, new to old, with an interval that holds it in LEVEL of all cases."""

    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What the interval allows to say of the new one."""
        if self.low > 1 + SAME:
            return "slower"
        return "faster" if self.high < 1 / (1 + SAME) else "no difference"

    @property
    def hidden(self) -> float:
        """The largest difference, as a share, that may hide behind "no difference"."""
        return max(self.high, 1 / self.low) - 1


def numbers(ms: Times) -> dict[str, float]:
    """n, min, percentiles and max of timings in any order."""
    found = np.percentile(np.asarray(ms, float), (0, *PERCENTILES, 100))  # sorts them
    names = ("min", *(f"p{p}" for p in PERCENTILES), "max")
    return {"n": len(ms), **{name: round(float(x), 4) for name, x in zip(names, found, strict=True)}}


def summary(times: Mapping[str, Times]) -> dict[str, dict[str, float]]:
    """For each stage its numbers, over the frames that had it."""
    return {stage: numbers(ms) for stage, ms in times.items() if len(ms)}


def kept(ms: Times) -> list[float]:
    """At most KEPT of the timings, evenly spaced, in their order, to a tenth of a microsecond."""
    places = np.linspace(0, len(ms) - 1, min(KEPT, len(ms))).round().astype(int)
    return [round(float(ms[place]), 4) for place in places]


def ratio_of_medians(new: Times, old: Times, in_turn: bool = False) -> Ratio:
    """How much longer the new one takes, by a bootstrap of blocks. The same timings give the same answer.

    `in_turn`: the timings were taken in turn, so that those of one place share what disturbed them.
    """
    a, b = np.asarray(new, float), np.asarray(old, float)
    rng = np.random.default_rng(0)
    chosen = _blocks(len(a), rng)
    again = chosen if in_turn else _blocks(len(b), rng)
    ratios = np.median(a[chosen], axis=1) / np.median(b[again], axis=1)
    low, high = np.quantile(ratios, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Ratio(float(np.median(a) / np.median(b)), float(low), float(high))


def _blocks(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(RESAMPLES, n): places in a series of n, in blocks of neighbours; the series is taken for a ring."""
    length = max(1, n // BLOCKS)
    starts = rng.integers(0, n, (RESAMPLES, -(-n // length), 1))
    return ((starts + np.arange(length)) % n).reshape(RESAMPLES, -1)[:, :n]
