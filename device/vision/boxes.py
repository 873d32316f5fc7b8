"""Boxes, and the grid code that the detector speaks: `encode` for training, `decode` for the board.

A net without a grid finds one box at most: `encode_one` and `decode_one`.

A detector has one grid of cells for each stride (pixels between cells). A cell whose centre lies in a face carries
the distances from its centre to the four sides of the box, in strides, 0 to REACH.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]  # (N, 4): left, top, right, bottom, in pixels
Scores = NDArray[np.float32]  # (N,): 0..1


class Box(NamedTuple):
    """A rectangle in pixels; right and bottom lie outside it."""

    left: float
    top: float
    right: float
    bottom: float


BoxValues = NDArray[np.float64]


def _overlap_area(a: Boxes, b: Boxes) -> BoxValues:
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    return np.asarray(sides.prod(-1), np.float64)


def box_area(boxes: Boxes) -> BoxValues:
    """(...): of boxes (..., 4)."""
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).prod(-1), np.float64)


def iou(a: Boxes, b: Boxes) -> BoxValues:
    """Intersection over union of boxes (..., 4) and (..., 4)."""
    shared = _overlap_area(a, b)
    return shared / np.maximum(box_area(a) + box_area(b) - shared, 1e-9)


def coverage(boxes: Boxes, regions: Boxes) -> BoxValues:
    """Share of the boxes (..., 4) that lies in the regions (..., 4)."""
    return _overlap_area(boxes, regions) / np.maximum(box_area(boxes), 1e-9)
