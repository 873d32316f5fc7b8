"""From times to numbers: order statistics, and the confidence interval of a ratio of two medians.

Times are taken in several sessions, and everything is opened again for each session. Memory layout and the other work
of the machine differ more between sessions than between frames, so the interval must include that difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.bench.reports import RatioFields, Stats

Times = Sequence[float]  # milliseconds, in the order in which they were taken
Sessions = Sequence[Times]

PERCENTILES = 50, 90, 95, 99
MAX_SESSIONS, MIN_SESSION_FRAMES = 10, 20
# Samples of a stage in a report: their median is within about 1 % of that of all frames where the spread is 20 %.
MAX_SAMPLES = 500
RESAMPLES = 1000
CONFIDENCE_LEVEL = 0.95
Z_SCORE = 1.96  # of the normal distribution at that level
# Blocks of a single session: a disturbance lasts for several frames, so resampling single frames would hide it.
SINGLE_SESSION_BLOCKS = 20
# Two processes that do the same differ by up to this share, beyond the spread of their sessions.
EQUIVALENCE_MARGIN = 0.02


class Ratio(NamedTuple):
    """The ratio of two medians, new to old, with its confidence interval."""

    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "slower", "faster" or "no difference" (at this confidence level)."""
        if self.low > 1 + EQUIVALENCE_MARGIN:
            return "slower"
        return "faster" if self.high < 1 / (1 + EQUIVALENCE_MARGIN) else "no difference"

    @property
    def max_undetected(self) -> float:
        """The largest difference, as a share, that "no difference" does not exclude."""
        return max(self.high, 1 / self.low) - 1

    def to_dict(self) -> RatioFields:
        """The ratio as a report has it."""
        return {
            "ratio": round(self.ratio, 4),
            "confidence_interval": [round(self.low, 4), round(self.high, 4)],
            "verdict": self.verdict,
            "max_undetected": round(self.max_undetected, 4),
        }


def order_statistics(ms: Times | NDArray[np.float64]) -> Stats:
    """n, min, percentiles and max of times in any order."""
    low, p50, p90, p95, p99, high = (
        round(float(x), 4) for x in np.percentile(np.asarray(ms, float), (0, *PERCENTILES, 100))
    )
    return {"n": len(ms), "min": low, "p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": high}


def summarize_stages(times: Mapping[str, Sessions]) -> dict[str, Stats]:
    """The order statistics of each stage, over the frames of all sessions that have it."""
    joined = {stage: np.concatenate([np.asarray(ms, float) for ms in sessions]) for stage, sessions in times.items()}
    return {stage: order_statistics(ms) for stage, ms in joined.items() if len(ms)}


def subsample(sessions: Sessions) -> list[list[float]]:
    """At most MAX_SAMPLES times, equally many per session, evenly spaced and in order, to 0.1 microseconds."""
    max_count = max(1, MAX_SAMPLES // max(1, len(sessions)))
    return [_evenly_spaced(ms, max_count) for ms in sessions if len(ms)]


def frames_per_session(frames: int) -> list[int]:
    """The number of frames of each session."""
    count = min(MAX_SESSIONS, max(1, frames // MIN_SESSION_FRAMES))
    return [frames // count + (number < frames % count) for number in range(count)]


def ratio_of_medians(new: Sessions, old: Sessions, paired: bool = False) -> Ratio:
    """The ratio of the medians with a bootstrap interval over sessions. It is deterministic.

    `paired`: both were timed interleaved in the same sessions, so sessions with the same index share disturbances.
    """
    rng = np.random.default_rng(0)
    new_units, old_units = _resampling_units(new), _resampling_units(old)
    new_indices = rng.integers(0, len(new_units), (RESAMPLES, len(new_units)))
    old_indices = new_indices if paired else rng.integers(0, len(old_units), (RESAMPLES, len(old_units)))
    log_ratio = np.log(np.median(np.concatenate(new_units)) / np.median(np.concatenate(old_units)))
    ratios = np.log(_resampled_medians(new_units, new_indices) / _resampled_medians(old_units, old_indices))
    ends = np.quantile(ratios, ((1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2)) - log_ratio
    factor = _small_sample_factor(min(len(new_units), len(old_units)), paired)
    low, high = log_ratio + factor * np.clip(ends, (-np.inf, 0), (0, np.inf))
    return Ratio(float(np.exp(log_ratio)), float(np.exp(low)), float(np.exp(high)))


def _evenly_spaced(ms: Times, max_count: int) -> list[float]:
    indices = np.linspace(0, len(ms) - 1, min(max_count, len(ms))).round().astype(int)
    return [round(float(ms[index]), 4) for index in indices]


def _resampling_units(sessions: Sessions) -> list[NDArray[np.float64]]:
    """The units that the bootstrap resamples: sessions, or the blocks of a single one."""
    if len(sessions) > 1:
        return [np.asarray(ms, float) for ms in sessions]
    return np.array_split(np.asarray(sessions[0], float), min(SINGLE_SESSION_BLOCKS, len(sessions[0])))


def _resampled_medians(units: list[NDArray[np.float64]], indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """(RESAMPLES,): the median of each set of units; units shorter than the longest are repeated."""
    longest = max(map(len, units))
    table = np.stack([np.resize(unit, longest) for unit in units])
    medians: NDArray[np.float64] = np.median(table[indices].reshape(len(indices), -1), axis=1)
    return medians


def _small_sample_factor(unit_count: int, paired: bool) -> float:
    """The factor by which a bootstrap interval of few units is too narrow.

    It corrects the spread from n to n - 1, and the normal quantile to that of Student's t distribution, by the first
    term of the Cornish-Fisher series.
    """
    if unit_count < 2:
        return 1.0
    freedom = (unit_count - 1) * (1 if paired else 2)
    return float(np.sqrt(unit_count / (unit_count - 1)) * (1 + (Z_SCORE**2 + 1) / (4 * freedom)))
