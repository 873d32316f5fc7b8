"""The number of threads with which a model runs fastest on this machine, measured once and cached."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median_high

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import write_json
from pocketsight.device.system.paths import cache_dir

logger = logging.getLogger(__name__)

# Invocations for each count; the first third is warm-up.
ROUNDS = 30

# One more thread must reduce the time below this share, or fewer are used: they keep the board cooler.
MAX_TIME_RATIO = 0.9

# More threads do not help networks this small.
MAX_THREADS = 4


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def thread_counts() -> range:
    """Counts worth measuring. One core stays free for the camera."""
    return range(1, max(1, min(MAX_THREADS, available_cores() - 1)) + 1)


def autotune_threads(key: str, invoke: Callable[[int], Callable[[], object]], cache_file: Path | None = None) -> int:
    """The number of threads with which a model runs fastest.

    `invoke(count)` returns a function that runs the model once with `count` threads. The result is cached for `key`,
    which identifies the model, and this machine, by default in threads.json in the cache folder of the user.
    """
    if len(thread_counts()) == 1:
        return 1
    cache_file = cache_file or cache_dir() / "threads.json"
    full_key = f"{key} {platform.machine()} {available_cores()}"
    cached: dict[str, int] = {}
    with suppress(OSError, ValueError, AttributeError):
        cached = dict(json.loads(cache_file.read_text()).items())
    if cached.get(full_key) in thread_counts():
        logger.debug("%d threads for %s, from %s", cached[full_key], full_key, cache_file)
        return cached[full_key]
    seconds = {count: _median_time(invoke(count)) for count in thread_counts()}
    threads = pick_threads(seconds)
    timings = ", ".join(f"{count}: {1000 * duration:.2f} ms" for count, duration in seconds.items())
    logger.info("%d threads for %s, measured (%s)", threads, full_key, timings)
    with suppress(DataError):  # a read-only home: measured again the next time
        write_json(cache_file, cached | {full_key: threads})
    return threads


def pick_threads(seconds: dict[int, float]) -> int:
    """The smallest count that no larger count beats by MAX_TIME_RATIO. `seconds` maps counts to times."""
    best = min(seconds)
    for count in sorted(seconds):
        if seconds[count] < MAX_TIME_RATIO * seconds[best]:
            best = count
    return best


def _median_time(call: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return median_high(times[ROUNDS // 3 :])
