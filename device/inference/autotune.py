"""How many threads a model runs fastest on here: measured once, and remembered."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import write_json
from pocketsight.device.system.paths import cache_dir

ROUNDS = 30  # invocations a count; the first third only warms up
MAX_TIME_RATIO = (
    0.9  # another thread must bring the time below this share, or fewer are taken: they leave the board cooler
)
MAX_THREADS = 4  # more bring nothing to nets this small


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def thread_counts() -> range:
    """Counts worth trying. One core stays free for the camera."""
    return range(1, max(1, min(MAX_THREADS, available_cores() - 1)) + 1)


def autotune_threads(key: str, invoke: Callable[[int], Callable[[], object]], cache_file: Path | None = None) -> int:
    """The count that runs a model fastest. `invoke(count)` gives a call that runs it once; `key` names the model.

    The answer is kept in `memory`, by default a file of the user's cache, for this model on this machine.
    """
    if len(thread_counts()) == 1:
        return 1
    cache_file = cache_file or cache_dir() / "threads.json"
    full_key = f"{key} {platform.machine()} {available_cores()}"
    known: dict[str, int] = {}
    with suppress(OSError, ValueError, AttributeError):
        known = dict(json.loads(cache_file.read_text()).items())
    if known.get(full_key) in thread_counts():
        return known[full_key]
    found = pick_threads({count: _median_time(invoke(count)) for count in thread_counts()})
    with suppress(DataError):  # a read-only home: measured again the next time
        write_json(cache_file, known | {full_key: found})
    return found


def pick_threads(seconds: dict[int, float]) -> int:
    """The smallest count that no larger one beats by enough."""
    best = min(seconds)
    for count in sorted(seconds):
        if seconds[count] < MAX_TIME_RATIO * seconds[best]:
            best = count
    return best


def _median_time(call: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return median(times[ROUNDS // 3 :])


def median(numbers: Sequence[float]) -> float:
    """The middle one, sorted."""
    return sorted(numbers)[len(numbers) // 2]
