"""Four images in one frame."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pocketsight.train.datasets.augmentation import Placement, place_boxes
from pocketsight.train.datasets.detection_batches import DetectionBatches, join_boxes
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.datasets.mosaic import mosaic
from pocketsight.train.recipe import DETECTOR_RECIPE
from tests.support.images import DETECTOR


def test_boxes_move_with_their_crops() -> None:
    """Each crop is black with a white face of its own size; the boxes hold the white and nothing else."""
    sides = iter((8, 10, 12, 14))
    sizes = []

    def crop(size: tuple[int, int]) -> tuple[np.ndarray, Placement]:
        sizes.append(size)
        image, side = np.zeros((*size, 3), np.uint8), next(sides)
        image[5 : 5 + side, 3 : 3 + side] = 255
        boxes, ignored = np.array([[3, 5, 3 + side, 5 + side]], np.float32), np.array([[-2, -2, 2, 2]], np.float32)
        return image, Placement(boxes, ignored, (1, 0, 0, 0, 1, 0), (0, 0, size[1], size[0]), np.array([side]))

    image, placements = mosaic(crop, (96, 128), np.random.default_rng(0))
    boxes, ignored, kinds = join_boxes(place_boxes(placements))
    assert (ignored[:, 2:] - ignored[:, :2] == 2).all()  # cut at the border of their crop
    assert image.shape == (96, 128, 3) and len(ignored) == 4
    assert kinds.tolist() == [8, 10, 12, 14]
    assert sum(height * width for height, width in sizes) == 96 * 128
    for (left, top, right, bottom), side in zip(boxes.astype(int), (8, 10, 12, 14), strict=True):
        assert (right - left, bottom - top) == (side, side)
        assert (image[top:bottom, left:right] == 255).all()
    assert (image > 0).sum() == 3 * (8**2 + 10**2 + 12**2 + 14**2)


def test_a_training_with_mosaics_learns_more_and_smaller_faces(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((240, 320, 3), np.uint8))
    example = DetectionSample(tmp_path / "a.png", np.array([[130, 90, 190, 150]], np.float32))
    recipe = replace(DETECTOR_RECIPE, scale_range=(1.0, 1.0), object_centered=0.0, rotation_prob=0.0, batch_size=8)
    spec = replace(DETECTOR, input_size=(256, 320), strides=(8,))
    plain, four = (DetectionBatches([example], spec, replace(recipe, mosaic_prob=share))(0) for share in (0.0, 1.0))
    width = [targets[targets[:, 0] == 1][:, [1, 3]].sum(1) for targets in (plain.targets[0], four.targets[0])]
    assert plain.images.shape == four.images.shape
    assert width[1].max() < width[0].max() and len(width[1]) > len(width[0])
