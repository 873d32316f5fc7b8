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
Sessions = Sequence[Times]

PERCENTILES = 50, 90, 95, 99
MAX_SESSIONS, MIN_SESSION_FRAMES = 10, 20  # so many sittings at most, of so many frames at least
MAX_SAMPLES = 500  # samples a stage in a report: the median of so many is known to about 1 % where the spread is 20 %
RESAMPLES = 1000
CONFIDENCE_LEVEL, Z_SCORE = 0.95, 1.96  # of an interval, and of the normal distribution
SINGLE_SESSION_BLOCKS = (
    20  # that a single sitting is cut into: disturbances last for several frames, and single ones would hide it
)
EQUIVALENCE_MARGIN = (
    0.02  # what two processes that do the same may differ by, beyond what their sittings show: no news below it
)


class Ratio(NamedTuple):
    """Of two medians, new to old, with an interval that holds it in LEVEL of all cases."""

    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What the interval allows to say of the new one."""
        if self.low > 1 + EQUIVALENCE_MARGIN:
            return "slower"
        return "faster" if self.high < 1 / (1 + EQUIVALENCE_MARGIN) else "no difference"

    @property
    def max_undetected(self) -> float:
        """The largest difference, as a share, that may hide behind "no difference"."""
        return max(self.high, 1 / self.low) - 1


def order_statistics(ms: Times | NDArray[np.float64]) -> dict[str, float]:
    """n, min, percentiles and max of timings in any order."""
    found = np.percentile(np.asarray(ms, float), (0, *PERCENTILES, 100))  # sorts them
    names = ("min", *(f"p{p}" for p in PERCENTILES), "max")
    return {"n": len(ms), **{name: round(float(x), 4) for name, x in zip(names, found, strict=True)}}


def summarize_stages(times: Mapping[str, Sessions]) -> dict[str, dict[str, float]]:
    """For each stage its numbers, over the frames of all sittings that had it."""
    joined = {stage: np.concatenate([np.asarray(ms, float) for ms in sittings]) for stage, sittings in times.items()}
    return {stage: order_statistics(ms) for stage, ms in joined.items() if len(ms)}


def subsample(sessions: Sessions) -> list[list[float]]:
    """At most KEPT of the timings, as many of each sitting, evenly spaced, in their order, to 0.1 microseconds."""
    most = max(1, MAX_SAMPLES // max(1, len(sessions)))
    return [_evenly_spaced(ms, most) for ms in sessions if len(ms)]


def frames_per_session(frames: int) -> list[int]:
    """How many of the frames each sitting gets."""
    count = min(MAX_SESSIONS, max(1, frames // MIN_SESSION_FRAMES))
    return [frames // count + (number < frames % count) for number in range(count)]


def ratio_of_medians(new: Sessions, old: Sessions, paired: bool = False) -> Ratio:
    """How much longer the new one takes, by a bootstrap of sittings. There is no luck in it: the same timings
    give the same answer.

    `in_turn`: both were timed in turn in the same sittings, so that those of one place share what disturbed them.
    """
    rng = np.random.default_rng(0)
    new_units, old_units = _resampling_units(new), _resampling_units(old)
    new_indices = rng.integers(0, len(new_units), (RESAMPLES, len(new_units)))
    old_indices = new_indices if paired else rng.integers(0, len(old_units), (RESAMPLES, len(old_units)))
    log_ratio = np.log(np.median(np.concatenate(new_units)) / np.median(np.concatenate(old_units)))
    ratios = np.log(_resampled_medians(new_units, new_indices) / _resampled_medians(old_units, old_indices))
    ends = np.quantile(ratios, ((1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2)) - log_ratio
    low, high = log_ratio + _small_sample_factor(min(len(new_units), len(old_units)), paired) * np.clip(
        ends, (-np.inf, 0), (0, np.inf)
    )
    return Ratio(float(np.exp(log_ratio)), float(np.exp(low)), float(np.exp(high)))


def _evenly_spaced(ms: Times, max_count: int) -> list[float]:
    places = np.linspace(0, len(ms) - 1, min(max_count, len(ms))).round().astype(int)
    return [round(float(ms[place]), 4) for place in places]


def _resampling_units(sessions: Sessions) -> list[NDArray[np.float64]]:
    """What is resampled whole: the sittings, or the blocks of a single one."""
    if len(sessions) > 1:
        return [np.asarray(ms, float) for ms in sessions]
    return np.array_split(np.asarray(sessions[0], float), min(SINGLE_SESSION_BLOCKS, len(sessions[0])))


def _resampled_medians(units: list[NDArray[np.float64]], indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """(RESAMPLES,): of the chosen parts joined; a part that is shorter than the longest is repeated."""
    longest = max(map(len, units))
    table = np.stack([np.resize(part, longest) for part in units])
    medians: NDArray[np.float64] = np.median(table[indices].reshape(len(indices), -1), axis=1)
    return medians


def _small_sample_factor(unit_count: int, paired: bool) -> float:
    """By how much an interval from few resampled parts is too narrow: their spread is that of n instead of n - 1, and
    Student's quantile is farther out than the normal one (first term of Cornish and Fisher's series)."""
    if unit_count < 2:
        return 1.0
    freedom = (unit_count - 1) * (1 if paired else 2)
    return float(np.sqrt(unit_count / (unit_count - 1)) * (1 + (Z_SCORE**2 + 1) / (4 * freedom)))
