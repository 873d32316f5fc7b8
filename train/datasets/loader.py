"""Batches, made by worker processes while the net trains."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Batch(NamedTuple):
    """What one step learns from, and the pictures that could not be read."""

    images: NDArray[np.uint8]  # (B, H, W, 3)
    targets: NDArray[np.float32]  # (B, ...)
    skipped: list[str] = []  # noqa: RUF012 - never changed


BatchFn = Callable[
    [int], Batch
]  # the batch of one step; a function of the step alone, so that a resumed training goes on

_batch_fn: BatchFn | None = None


class BatchLoader:
    """Iterates over batches from `first` to `last`; `waited` seconds of them were spent on waiting."""

    def __init__(self, batch_fn: BatchFn, workers: int, first_step: int, end_step: int) -> None:
        self.batch_fn, self.workers, self.first_step, self.end_step = batch_fn, workers, first_step, end_step
        self.wait_seconds = 0.0
        self.skipped: dict[str, None] = {}
        self.error: Exception | None = None  # what ended it early; Keras would wrap it beyond recognition

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        # Spawned, not forked: TensorFlow's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.workers, context, _init_worker, (self.batch_fn,)) as pool:
            ahead: deque[Future[Batch]] = deque()
            for step in range(self.first_step, self.end_step):
                while len(ahead) < 2 * self.workers + 2 and step + len(ahead) < self.end_step:
                    ahead.append(pool.submit(_make_batch, step + len(ahead)))
                asked = perf_counter()
                try:
                    batch = ahead.popleft().result()
                except Exception as error:
                    self.error = error
                    raise
                self.wait_seconds += perf_counter() - asked
                self.skipped.update(dict.fromkeys(batch.skipped))
                yield batch.images, batch.targets
            pool.shutdown(cancel_futures=True)


def default_worker_count() -> int:
    """One process prepares about 500 pictures a second: enough for a CPU; a GPU wants more."""
    return max(1, min(8, len(os.sched_getaffinity(0)) - 1))


def _init_worker(batch_fn: BatchFn) -> None:
    global _batch_fn
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    cv2.setNumThreads(1)  # the cores belong to the net
    _batch_fn = batch_fn


def _make_batch(step: int) -> Any:
    assert _batch_fn is not None
    return _batch_fn(step)
