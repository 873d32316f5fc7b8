"""Batches from worker processes through shared memory."""

import os
import signal
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from pocketsight.train.datasets.loader import Batch, BatchLoader
from tests.support.images import toy_batch


def uneven_batch(step: int) -> Batch:
    """Every third batch is larger than the first one."""
    batch = toy_batch(step)
    return Batch(np.repeat(batch.images, 2, 0), np.repeat(batch.targets, 2, 0)) if step % 3 == 2 else batch


def deadly_batch(step: int) -> Batch:
    """The process of the sixth batch is killed."""
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return toy_batch(step)


@pytest.mark.parametrize("make", [toy_batch, uneven_batch])
def test_all_batches_come_in_order_and_stay_as_they_are(make) -> None:  # type: ignore[no-untyped-def]
    loader = BatchLoader(make, 2, 3, 30)
    batches = list(loader)  # more than there are slots
    assert len(batches) == 27
    for step, (images, targets) in enumerate(batches, 3):
        assert (images == make(step).images).all() and (targets == make(step).targets).all()
    assert list(loader.skipped) == ["a.png is broken"]


def test_a_killed_worker_is_an_error() -> None:
    loader = BatchLoader(deadly_batch, 1, 0, 20)
    with pytest.raises(BrokenProcessPool):
        list(loader)
    assert isinstance(loader.error, BrokenProcessPool)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def large_batch(step: int) -> Batch:
    """Half a megabyte, with the memory of the process that makes it as its target."""
    return Batch(np.full((8, 160, 128, 3), step % 256, np.uint8), np.full((8, 1), resident_bytes() / 2**20, np.float32))


def test_memory_does_not_grow_with_the_steps() -> None:
    ours, workers = [], []
    for _, targets in BatchLoader(large_batch, 1, 0, 400):
        ours.append(resident_bytes() / 2**20)
        workers.append(float(targets[0, 0]))
    for megabytes in (ours, workers):
        assert max(megabytes[350:]) - max(megabytes[50:100]) < 30  # 130 if each step left its batch behind
