"""The data loader: worker processes prepare batches while the network trains."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import Image
from pocketsight.train.datasets.shared_memory import SharedMemory


class Batch(NamedTuple):
    """The input and targets of one step."""

    images: NDArray[np.uint8]  # (B, H, W, 3) RGB
    targets: NDArray[np.float32]  # (B, ...)
    skipped: list[str] = []  # noqa: RUF012 - never changed; the errors of images that cannot be read


# Step number -> batch. The batch depends on the step only, so that a resumed training continues exactly.
BatchFn = Callable[[int], Batch]
Example = tuple[Image, Any]  # an image (H, W, 3) and what its target is made from
MAX_WORKERS = 16
MAX_SKIPPED = 1000  # errors that a loader keeps; of a million images, many may be damaged


class BatchLoader:
    """Iterates over the batches of the steps from `first_step` to `end_step` (exclusive)."""

    def __init__(self, batch_fn: BatchFn, workers: int, first_step: int, end_step: int) -> None:
        self.batch_fn, self.workers, self.first_step, self.end_step = batch_fn, workers, first_step, end_step
        self.wait_seconds = 0.0  # time in which the network had no batch
        self.skipped: dict[str, None] = {}  # about MAX_SKIPPED errors, in order and without duplicates
        self.error: Exception | None = None  # what ended the iteration; Keras hides its type in another error

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        try:
            for batch in self._batches():
                if len(self.skipped) < MAX_SKIPPED:
                    self.skipped.update(dict.fromkeys(batch.skipped))
                yield batch.images, batch.targets
        except Exception as error:
            self.error = error
            raise

    def _batches(self) -> Iterator[Batch]:
        """The batches: the first from this process, which shows their size, the others from worker processes."""
        if self.first_step == self.end_step:
            return
        start = perf_counter()
        first = self.batch_fn(self.first_step)
        slots = BatchSlots(2 * self.workers + 2, first)
        pending: deque[Future[Batch | list[str]]] = deque()
        submitted = self.first_step
        # Spawned, not forked: TensorFlow's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.workers, context, _init_worker, (self.batch_fn, slots)) as pool:
            for step in range(self.first_step, self.end_step):
                while submitted + 1 < min(self.end_step, step + slots.count):
                    submitted += 1
                    pending.append(pool.submit(_make_batch, submitted))
                if step == self.first_step:
                    batch = first
                else:
                    result = pending.popleft().result()
                    batch = result if isinstance(result, Batch) else Batch(*slots.read(step), result)
                self.wait_seconds += perf_counter() - start
                yield batch
                start = perf_counter()
            pool.shutdown(cancel_futures=True)


class BatchSlots:
    """Shared memory in which worker processes leave batches, so that no pixel goes through a pipe."""

    def __init__(self, count: int, like: Batch) -> None:
        self.count = count
        self.layout = [(array.shape, array.dtype) for array in (like.images, like.targets)]
        self.memory = SharedMemory(count * (like.images.nbytes + like.targets.nbytes))

    def fits(self, batch: Batch) -> bool:
        """Whether the batch has the shapes and types of the slots."""
        return self.layout == [(array.shape, array.dtype) for array in (batch.images, batch.targets)]

    def write(self, step: int, batch: Batch) -> None:
        """Leave the batch of a step in its slot. The batch of `count` steps earlier must have been read."""
        for slot, array in zip(self._views(step), (batch.images, batch.targets), strict=True):
            slot[:] = array

    def read(self, step: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Copies of the images and the targets of a step: TensorFlow may keep what it gets."""
        images, targets = self._views(step)
        return images.copy(), targets.copy()

    def _views(self, step: int) -> list[NDArray[Any]]:
        views = []
        offset = step % self.count * (self.memory.size // self.count)
        for shape, dtype in self.layout:
            views.append(np.frombuffer(self.memory.buffer, dtype, math.prod(shape), offset).reshape(shape))
            offset += views[-1].nbytes
        return views


EncodeFn = Callable[[Sequence[Any]], NDArray[np.float32]]  # what `Example` has of each image -> targets (B, ...)


def stack_targets(targets: Sequence[Any]) -> NDArray[np.float32]:
    """The default EncodeFn: each image has its own target already."""
    return np.array(targets, np.float32)


def fill_batch(
    draw: Callable[[np.random.Generator], Example],
    seed: int,
    step: int,
    rows: range,
    encode: EncodeFn = stack_targets,
) -> Batch:
    """Some rows of the batch of a step, each from a call of `draw`; a call that raises DataError is repeated.

    Each row has random numbers of its own: several processes that make different rows make the batch of one process.
    `encode` makes the targets of all images. Raises DataError when too many calls fail.
    """
    examples: list[Example] = []
    skipped: list[str] = []
    bits = np.random.PCG64([seed, step])
    rng, start = np.random.Generator(bits), bits.state
    for row in rows:
        bits.state = start
        bits.advance(row << 64)  # in a fifth of the time of a new generator
        while True:
            try:
                examples.append(draw(rng))
                break
            except DataError as error:
                skipped.append(str(error))
                if len(skipped) > max(100, 10 * len(rows)):
                    raise DataError(f"almost no image can be read; the last error: {error}") from error
    return _stack(examples, skipped, encode)


def read_batch(samples: Iterable[Any], read: Callable[[Any], Example], encode: EncodeFn = stack_targets) -> Batch:
    """One batch of all samples that `read` does not refuse with DataError.

    `encode` makes the targets of all images. Raises DataError when no sample can be read.
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
    return _stack(examples, skipped, encode)


def _stack(examples: list[Example], skipped: list[str], encode: EncodeFn) -> Batch:
    images, targets = zip(*examples, strict=True)
    return Batch(np.stack(images), encode(targets), skipped)


def default_worker_count() -> int:
    """Worker processes for this machine: one for each core but one. They rest while the network has enough batches."""
    return max(1, min(MAX_WORKERS, len(os.sched_getaffinity(0)) - 1))


def follow_parent() -> None:
    """Initializer of worker processes: Ctrl+C is handled by the parent. They end with it, even if it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)


_batch_fn: BatchFn | None = None
_slots: BatchSlots | None = None


def _init_worker(batch_fn: BatchFn, slots: BatchSlots) -> None:
    global _batch_fn, _slots
    import cv2

    follow_parent()
    cv2.setNumThreads(1)  # the other cores are for the network
    _batch_fn, _slots = batch_fn, slots


def _make_batch(step: int) -> Batch | list[str]:
    """Leave a batch in its slot and return its errors, or return the batch if it has another shape."""
    assert _batch_fn is not None and _slots is not None
    batch = _batch_fn(step)
    if not _slots.fits(batch):
        return batch
    _slots.write(step, batch)
    return batch.skipped
