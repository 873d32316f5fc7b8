"""Boxes and their geometry. One box is a `Box` of plain numbers; many are a NumPy array.

For the few faces of a frame plain numbers are several times faster than arrays. Training and evaluation use arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
"""(N, 4): left, top, right, bottom, in pixels."""

Scores = NDArray[np.float32]
"""(N,): confidence, 0..1."""

BoxValues = NDArray[np.float64]
"""One number for each box."""

MIN_UNION = 1e-9
"""Pixels; keeps the IoU of empty boxes finite."""


class Box(NamedTuple):
    """A rectangle in pixels; x grows to the right and y down. Its right and bottom edges are outside it."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def longer_side(self) -> float:
        """The width or the height, whichever is larger, in pixels."""
        return max(self.right - self.left, self.bottom - self.top)

    @property
    def center(self) -> tuple[float, float]:
        """x and y of the center, in pixels."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def overlaps(self, other: Box) -> bool:
        """Whether the boxes have pixels in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def intersection(self, other: Box) -> float:
        """The area that both boxes cover, in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0

    def iou(self, other: Box) -> float:
        """Intersection over union, 0..1. Without the methods above: the tracker calls it for every pair of faces."""
        left, top, right, bottom = self
        other_left, other_top, other_right, other_bottom = other
        width = min(right, other_right) - max(left, other_left)
        height = min(bottom, other_bottom) - max(top, other_top)
        shared = width * height if width > 0 and height > 0 else 0.0
        area, other_area = (right - left) * (bottom - top), (other_right - other_left) * (other_bottom - other_top)
        return shared / max(area + other_area - shared, MIN_UNION)

    def union(self, other: Box) -> Box:
        """The smallest box that contains both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def expand(self, margin: float) -> Box:
        """The box with `margin` pixels added on each side."""
        return Box(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def scale(self, factor: float) -> Box:
        """The box in an image that was resized by `factor`."""
        return Box(self.left * factor, self.top * factor, self.right * factor, self.bottom * factor)

    def clip(self, width: float, height: float) -> Box:
        """The part of the box inside an image of this size in pixels; a box outside it gets no area."""
        left, top, right, bottom = self
        return Box(min(max(left, 0.0), width), min(max(top, 0.0), height), min(right, width), min(bottom, height))


def box_area(boxes: Boxes) -> BoxValues:
    """Areas (...) of boxes (..., 4), in square pixels."""
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).prod(-1), np.float64)


def iou_matrix(a: Boxes, b: Boxes) -> BoxValues:
    """Intersection over union (N, M), 0..1, of boxes (N, 4) with boxes (M, 4)."""
    shared = _intersection_matrix(a, b)
    return shared / np.maximum(box_area(a)[:, None] + box_area(b)[None] - shared, MIN_UNION)


def coverage_matrix(boxes: Boxes, regions: Boxes) -> BoxValues:
    """Share (N, M), 0..1, of each box (N, 4) that lies in each region (M, 4)."""
    return _intersection_matrix(boxes, regions) / np.maximum(box_area(boxes)[:, None], MIN_UNION)


def _intersection_matrix(a: Boxes, b: Boxes) -> BoxValues:
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(-1), np.float64)
