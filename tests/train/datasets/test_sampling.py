"""How often a training draws each image."""

from pathlib import Path

import numpy as np
import pytest

from pocketsight.train.datasets.detection_batches import DetectionBatches
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.datasets.sampling import sampling_weights
from pocketsight.train.recipe import DETECTOR_RECIPE
from tests.support.images import DETECTOR

BOX = np.array([[10, 10, 30, 40]], np.float32)


def samples(source: str, count: int, faces: int = 1) -> list[DetectionSample]:
    return [DetectionSample(Path(f"{source}{n}"), np.repeat(BOX, faces, 0), source=source) for n in range(count)]


def test_an_image_counts_by_the_square_root_of_its_faces() -> None:
    weights = sampling_weights([*samples("a", 1), *samples("a", 1, faces=9)])
    assert weights.sum() == pytest.approx(1) and weights[1] / weights[0] == pytest.approx(3)


@pytest.mark.parametrize(("balance", "ratio"), [(0.0, 8), (1 / 3, 4), (1.0, 1)])
def test_balance_brings_the_shares_of_sources_together(balance: float, ratio: float) -> None:
    weights = sampling_weights([*samples("large", 16), *samples("small", 2)], balance)
    assert weights[:16].sum() / weights[16:].sum() == pytest.approx(ratio)
    assert np.ptp(weights[:16]) < 1e-12 and weights.sum() == pytest.approx(1)


def test_the_recipe_balances_the_batches() -> None:
    from dataclasses import replace

    recipe = replace(DETECTOR_RECIPE, source_balance=1.0)
    batches = DetectionBatches([*samples("large", 9), *samples("small", 1)], DETECTOR, recipe)
    drawn = [batches.draw(np.random.default_rng(n)).source for n in range(300)]
    assert 100 < drawn.count("small") < 200
