"""A loader keeps a bounded number of errors, however many images are damaged."""

import numpy as np
import pytest

from pocketsight.train.datasets import loader
from pocketsight.train.datasets.loader import Batch, BatchLoader


def damaged(step: int) -> Batch:
    return Batch(np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 1), np.float32), [f"{step}.jpg is broken"])


def test_the_errors_of_a_long_training_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MAX_SKIPPED", 5)
    batches = BatchLoader(damaged, 1, 0, 40)
    assert sum(1 for _ in batches) == 40
    assert list(batches.skipped) == [f"{n}.jpg is broken" for n in range(5)]
