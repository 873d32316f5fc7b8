"""The data loader: worker processes prepare batches while the network trains."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import Image


class Batch(NamedTuple):
    """The input and targets of one step."""

    images: NDArray[np.uint8]  # (B, H, W, 3) RGB
    targets: NDArray[np.float32]  # (B, ...)
    skipped: list[str] = []  # noqa: RUF012 - never changed; the errors of images that cannot be read


# Step number -> batch. The batch depends on the step only, so that a resumed training continues exactly.
BatchFn = Callable[[int], Batch]
Example = tuple[Image, Any]  # an image (H, W, 3) and its target

_batch_fn: BatchFn | None = None


class BatchLoader:
    """Iterates over the batches of the steps from `first_step` to `end_step` (exclusive)."""

    def __init__(self, batch_fn: BatchFn, workers: int, first_step: int, end_step: int) -> None:
        self.batch_fn, self.workers, self.first_step, self.end_step = batch_fn, workers, first_step, end_step
        self.wait_seconds = 0.0  # time in which the network had no batch
        self.skipped: dict[str, None] = {}  # errors, in order and without duplicates
        self.error: Exception | None = None  # what ended the iteration; Keras hides its type in another error

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        # Spawned, not forked: TensorFlow's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.workers, context, _init_worker, (self.batch_fn,)) as pool:
            pending: deque[Future[Batch]] = deque()
            for step in range(self.first_step, self.end_step):
                while len(pending) < 2 * self.workers + 2 and step + len(pending) < self.end_step:
                    pending.append(pool.submit(_make_batch, step + len(pending)))
                start = perf_counter()
                try:
                    batch = pending.popleft().result()
                except Exception as error:
                    self.error = error
                    raise
                self.wait_seconds += perf_counter() - start
                self.skipped.update(dict.fromkeys(batch.skipped))
                yield batch.images, batch.targets
            pool.shutdown(cancel_futures=True)


def fill_batch(draw: Callable[[np.random.Generator], Example], seed: int, step: int, rows: range) -> Batch:
    """Some rows of the batch of a step, each from a call of `draw`; a call that raises DataError is repeated.

    Each row has random numbers of its own: several processes that make different rows make the batch of one process.
    Raises DataError when too many calls fail.
    """
    examples: list[Example] = []
    skipped: list[str] = []
    for row in rows:
        rng = np.random.default_rng([seed, step, row])
        while True:
            try:
                examples.append(draw(rng))
                break
            except DataError as error:
                skipped.append(str(error))
                if len(skipped) > max(100, 10 * len(rows)):
                    raise DataError(f"almost no image can be read; the last error: {error}") from error
    return _stack(examples, skipped)


def read_batch(samples: Iterable[Any], read: Callable[[Any], Example]) -> Batch:
    """One batch of all samples that `read` does not refuse with DataError.

    Raises DataError when no sample can be read.
    """
    examples: list[Example] = []
    skipped: list[str] = []
    for sample in samples:
        try:
            examples.append(read(sample))
        except DataError as error:
            skipped.append(str(error))
    if not examples:
        first = skipped[0] if skipped else "the data has no images"
        raise DataError(f"none of {len(skipped)} images can be read; {first}")
    return _stack(examples, skipped)


def _stack(examples: list[Example], skipped: list[str]) -> Batch:
    images, targets = zip(*examples, strict=True)
    return Batch(np.stack(images), np.array(targets, np.float32), skipped)


def default_worker_count() -> int:
    """Worker processes for this machine. One prepares about 500 images a second: enough for a CPU, not for a GPU."""
    return max(1, min(8, len(os.sched_getaffinity(0)) - 1))


def ignore_interrupt() -> None:
    """Initializer of worker processes: Ctrl+C is handled by the parent, which ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _init_worker(batch_fn: BatchFn) -> None:
    global _batch_fn
    import cv2

    ignore_interrupt()
    cv2.setNumThreads(1)  # the other cores are for the network
    _batch_fn = batch_fn


def _make_batch(step: int) -> Any:
    assert _batch_fn is not None
    return _batch_fn(step)
