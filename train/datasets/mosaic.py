"""Augmentation: four images in one frame, so that a frame has many small faces on many backgrounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketsight.device.vision.image import Image
from pocketsight.train.datasets.augmentation import Placement

# Size (height, width) -> an image of that size and its boxes.
CropFn = Callable[[tuple[int, int]], tuple[Image, Placement]]


def mosaic(crop: CropFn, size: tuple[int, int], rng: np.random.Generator) -> tuple[Image, list[Placement]]:
    """An image of `size` (height, width) from four crops that meet near its center, with the boxes of each."""
    height, width = size
    middle = round(height * rng.uniform(0.35, 0.65)), round(width * rng.uniform(0.35, 0.65))
    image = np.empty((height, width, 3), np.uint8)
    placements: list[Placement] = []
    for top, bottom in ((0, middle[0]), (middle[0], height)):
        for left, right in ((0, middle[1]), (middle[1], width)):
            image[top:bottom, left:right], placement = crop((bottom - top, right - left))
            a, b, c, d, e, f = placement.matrix
            moved = a, b, c + left, d, e, f + top
            placements.append(placement._replace(matrix=moved, area=(left, top, right, bottom)))
    return image, placements
