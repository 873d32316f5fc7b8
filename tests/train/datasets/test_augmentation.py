"""Windows and what becomes of boxes in them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pocketsight.train.datasets import augmentation
from pocketsight.train.datasets.augmentation import Placement, place_boxes, warp, window_matrix
from pocketsight.train.datasets.detection_sample import NO_BOXES
from pocketsight.train.recipe import DETECTOR_RECIPE as RECIPE
from tests.support.images import scene


@pytest.mark.parametrize("mirrors", [(False, False), (True, False), (False, True), (True, True)])
def test_a_turned_face_keeps_a_tight_box(mirrors: tuple[bool, bool]) -> None:
    """A white ellipse on black is the face: the box of the turned one touches it on all four sides."""
    image = np.zeros((240, 320, 3), np.uint8)
    cv2.ellipse(image, (150, 120), (40, 55), 0, 0, 360, (255, 255, 255), -1)
    box = np.array([[110, 65, 191, 176]], np.float32)
    for degrees in (-30, -11, 0, 7, 25):
        for size in ((210, 280), (105, 140), (48, 64)):
            matrix = window_matrix([20, 10, 300, 220], degrees, size, *mirrors)
            piece = warp(image, matrix, size)
            (((found,), *_),) = place_boxes([Placement(box, NO_BOXES, matrix, (0, 0, size[1], size[0]))])
            assert piece.shape == (*size, 3)
            y, x = np.nonzero(piece[..., 0] > 127)
            assert np.abs(found - [x.min(), y.min(), x.max() + 1, y.max() + 1]).max() < 2


@pytest.mark.parametrize("mirrors", [(False, False), (True, False), (False, True), (True, True)])
def test_upright_windows_have_the_pixels_of_the_board(mirrors: tuple[bool, bool]) -> None:
    """The warp of rotated windows and the board's crop and letterbox agree where both can make a window."""
    image, window = scene(5, (200, 260)), [30, 20, 190, 140]
    recipe = replace(RECIPE, rotation_prob=0.0, horizontal_flip=float(mirrors[0]), vertical_flip=float(mirrors[1]))
    for size in ((120, 160), (180, 240), (60, 80)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(augmentation, "random_window", lambda *args: window)
            crop, matrix = augmentation.random_crop(image, NO_BOXES, size, recipe, np.random.default_rng(0))
        warped = warp(image, matrix, size)
        assert np.abs(crop[1:-1, 1:-1].astype(int) - warped[1:-1, 1:-1]).mean() < 1


def test_a_box_that_is_half_outside_is_kept_cut_or_ignored() -> None:
    boxes = np.array([[10, 10, 30, 30], [-6, 10, 14, 30], [-15, 10, 5, 30], [-30, 10, -10, 30]], np.float32)
    unchanged = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    placement = Placement(boxes, boxes[:1], unchanged, (0, 0, 100, 100))
    (objects, ignored, _), (none, nothing, _) = place_boxes(
        [placement, Placement(NO_BOXES, NO_BOXES, unchanged, (0,) * 4)]
    )
    assert objects.tolist() == [[10, 10, 30, 30], [0, 10, 14, 30]]
    assert ignored.tolist() == [[0, 10, 5, 30], [10, 10, 30, 30]]
    assert none.shape == nothing.shape == (0, 4)
