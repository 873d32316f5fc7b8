"""The loss of detectors of one and of several labels."""

import numpy as np

from pocketsight.device.vision.box_encoding import encode_batch
from pocketsight.train.datasets.detection_sample import NO_BOXES
from pocketsight.train.networks.losses import detector_loss
from pocketsight.train.recipe import DETECTOR_RECIPE

SIZE = 64, 96
BOXES = [np.array([[8, 8, 40, 40], [50, 20, 80, 60]], np.float32)]


def outputs(kinds: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    grids = {stride: (1, SIZE[0] // stride, SIZE[1] // stride) for stride in (8, 16, 32)}
    scores = {f"score_{s}": rng.uniform(0.01, 0.6, (*grid, 1)).astype(np.float32) for s, grid in grids.items()}
    boxes = {f"box_{s}": rng.uniform(0.5, 4, (*grid, 4)).astype(np.float32) for s, grid in grids.items()}
    return {name: np.repeat(score, kinds, axis=-1) for name, score in scores.items()} | boxes


def loss(kinds: int, numbers: list[int]) -> dict[str, float]:
    targets = encode_batch(BOXES, [NO_BOXES], SIZE, (8, 16, 32), [np.array(numbers)])
    parts = detector_loss(targets, outputs(kinds), DETECTOR_RECIPE)
    return {name: float(value) for name, value in parts.items()}


def test_one_kind_is_what_it_was_and_further_kinds_are_background() -> None:
    one, two = loss(1, [0, 0]), loss(2, [0, 0])
    assert one["box"] == two["box"]
    assert two["score"] > one["score"]  # the second score of every cell should be 0
    assert loss(2, [1, 1])["score"] == two["score"]  # both scores are alike
    assert loss(2, [0, 1])["box"] == one["box"]


def test_a_right_kind_is_cheaper_than_a_wrong_one() -> None:
    targets = encode_batch(BOXES, [NO_BOXES], SIZE, (8, 16, 32), [np.array([0, 0])])
    right, wrong = outputs(2), outputs(2)
    for stride in (8, 16, 32):
        right[f"score_{stride}"][..., 1] = 0.01
        wrong[f"score_{stride}"][..., 0] = 0.01
    costs = [float(detector_loss(targets, each, DETECTOR_RECIPE)["score"]) for each in (right, wrong)]
    assert costs[0] < costs[1]
