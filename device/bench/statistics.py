"""From timings to numbers: order statistics, and how sure a ratio of two medians is.

What is measured is measured in several sittings, each with everything opened anew: where memory lies and what the
machine does meanwhile differ more from sitting to sitting than from frame to frame, and an interval must know it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Times = Sequence[float]  # milliseconds, in the order in which they were taken
Sittings = Sequence[Times]

PERCENTILES = 50, 90, 95, 99
SITTINGS, LEAST = 10, 20  # so many sittings at most, of so many frames at least
KEPT = 500  # samples a stage in a report: the median of so many is known to about 1 % where the spread is 20 %
RESAMPLES = 1000
LEVEL, Z = 0.95, 1.96  # of an interval, and of the normal distribution
BLOCKS = 20  # that a single sitting is cut into: disturbances last for several frames, and single ones would hide it
SAME = 0.02  # what two processes that do the same may differ by, beyond what their sittings show: no news below it


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


def numbers(ms: Times | NDArray[np.float64]) -> dict[str, float]:
    """n, min, percentiles and max of timings in any order."""
    found = np.percentile(np.asarray(ms, float), (0, *PERCENTILES, 100))  # sorts them
    names = ("min", *(f"p{p}" for p in PERCENTILES), "max")
    return {"n": len(ms), **{name: round(float(x), 4) for name, x in zip(names, found, strict=True)}}


def summary(times: Mapping[str, Sittings]) -> dict[str, dict[str, float]]:
    """For each stage its numbers, over the frames of all sittings that had it."""
    joined = {stage: np.concatenate([np.asarray(ms, float) for ms in sittings]) for stage, sittings in times.items()}
    return {stage: numbers(ms) for stage, ms in joined.items() if len(ms)}


def kept(sittings: Sittings) -> list[list[float]]:
    """At most KEPT of the timings, as many of each sitting, evenly spaced, in their order, to 0.1 microseconds."""
    most = max(1, KEPT // max(1, len(sittings)))
    return [_thinned(ms, most) for ms in sittings if len(ms)]


def shares(frames: int) -> list[int]:
    """How many of the frames each sitting gets."""
    count = min(SITTINGS, max(1, frames // LEAST))
    return [frames // count + (number < frames % count) for number in range(count)]


def ratio_of_medians(new: Sittings, old: Sittings, in_turn: bool = False) -> Ratio:
    """How much longer the new one takes, by a bootstrap of sittings. There is no luck in it: the same timings
    give the same answer.

    `in_turn`: both were timed in turn in the same sittings, so that those of one place share what disturbed them.
    """
    rng = np.random.default_rng(0)
    parts, others = _parts(new), _parts(old)
    chosen = rng.integers(0, len(parts), (RESAMPLES, len(parts)))
    again = chosen if in_turn else rng.integers(0, len(others), (RESAMPLES, len(others)))
    found = np.log(np.median(np.concatenate(parts)) / np.median(np.concatenate(others)))
    ratios = np.log(_medians(parts, chosen) / _medians(others, again))
    ends = np.quantile(ratios, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)) - found
    low, high = found + _wider(min(len(parts), len(others)), in_turn) * np.clip(ends, (-np.inf, 0), (0, np.inf))
    return Ratio(float(np.exp(found)), float(np.exp(low)), float(np.exp(high)))


def _thinned(ms: Times, most: int) -> list[float]:
    places = np.linspace(0, len(ms) - 1, min(most, len(ms))).round().astype(int)
    return [round(float(ms[place]), 4) for place in places]


def _parts(sittings: Sittings) -> list[NDArray[np.float64]]:
    """What is resampled whole: the sittings, or the blocks of a single one."""
    if len(sittings) > 1:
        return [np.asarray(ms, float) for ms in sittings]
    return np.array_split(np.asarray(sittings[0], float), min(BLOCKS, len(sittings[0])))


def _medians(parts: list[NDArray[np.float64]], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """(RESAMPLES,): of the chosen parts joined; a part that is shorter than the longest is repeated."""
    longest = max(map(len, parts))
    table = np.stack([np.resize(part, longest) for part in parts])
    medians: NDArray[np.float64] = np.median(table[chosen].reshape(len(chosen), -1), axis=1)
    return medians


def _wider(parts: int, in_turn: bool) -> float:
    """By how much an interval from few resampled parts is too narrow: their spread is that of n instead of n - 1, and
    Student's quantile is farther out than the normal one (first term of Cornish and Fisher's series)."""
    if parts < 2:
        return 1.0
    freedom = (parts - 1) * (1 if in_turn else 2)
    return float(np.sqrt(parts / (parts - 1)) * (1 + (Z**2 + 1) / (4 * freedom)))
