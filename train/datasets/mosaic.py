"""Augmentation: four images in one frame, so that a frame has many small faces on many backgrounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketsight.device.vision.boxes import Boxes
from pocketsight.device.vision.image import Image
from pocketsight.train.datasets.detection_sample import Kinds

LabeledImage = tuple[Image, Boxes, Boxes, Kinds]
"""An image, its boxes (N, 4), its boxes to ignore (M, 4), and the kind (N,) of each box."""

CropFn = Callable[[tuple[int, int]], LabeledImage]
"""Size (height, width) -> an image of that size."""


def mosaic(crop: CropFn, size: tuple[int, int], rng: np.random.Generator) -> LabeledImage:
    """An image of `size` (height, width) from four crops that meet near its center, with all their boxes."""
    height, width = size
    middle = round(height * rng.uniform(0.35, 0.65)), round(width * rng.uniform(0.35, 0.65))
    image = np.empty((height, width, 3), np.uint8)
    all_boxes: list[Boxes] = []
    all_ignored: list[Boxes] = []
    all_kinds: list[Kinds] = []
    for top, bottom in ((0, middle[0]), (middle[0], height)):
        for left, right in ((0, middle[1]), (middle[1], width)):
            image[top:bottom, left:right], boxes, ignored, kinds = crop((bottom - top, right - left))
            shift = np.array([left, top, left, top], np.float32)
            all_boxes.append(boxes + shift)
            all_ignored.append(ignored + shift)
            all_kinds.append(kinds)
    return image, np.concatenate(all_boxes), np.concatenate(all_ignored), np.concatenate(all_kinds)
