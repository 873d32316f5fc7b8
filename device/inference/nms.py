"""Non-maximum suppression: one box for each object."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.boxes import Boxes, Scores

FEW = 40  # boxes, up to which plain numbers are faster than arrays


def nms(boxes: Boxes, scores: Scores, iou_threshold: float) -> NDArray[np.intp]:
    """Indices of the boxes (N, 4) to keep, best score first.

    A box is dropped if its IoU (0..1) with a kept box of a higher score is above `iou_threshold`. Boxes with equal
    scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) < 2:
        return order
    if len(order) <= FEW:
        keep = _nms_few(boxes[order].tolist(), iou_threshold)
        return order[keep]
    sides = np.ascontiguousarray(boxes[order].T)  # rows: a training scores networks that see thousands of boxes
    area = (sides[2] - sides[0]) * (sides[3] - sides[1])
    keep, remaining = [], np.arange(len(order))
    while len(remaining):
        keep.append(remaining[0])
        shared = np.minimum(sides[2:, :1], sides[2:, 1:])
        shared -= np.maximum(sides[:2, :1], sides[:2, 1:])
        np.maximum(shared, 0, out=shared)
        shared = shared[0] * shared[1]
        # shared / union <= threshold, without a division
        rest = np.flatnonzero(shared <= iou_threshold * (area[0] + area[1:] - shared)) + 1
        remaining, area, sides = remaining[rest], area[rest], sides.take(rest, axis=1)
    return order[np.array(keep, dtype=np.intp)]


def nms_by_kind(boxes: Boxes, scores: Scores, kinds: NDArray[np.intp], iou_threshold: float) -> NDArray[np.intp]:
    """As `nms`, but a box is dropped only for a better one of the same kind; `kinds` (N,) are numbers from 0.

    The boxes of each kind are moved to a place of their own, so that those of two kinds never overlap.
    """
    if len(boxes) < 2:
        return nms(boxes, scores, iou_threshold)
    extent = 2.0 ** (math.frexp(float(np.abs(boxes).max()))[1] + 1)  # a power of two, to round as little as possible
    return nms(boxes + kinds[:, None].astype(np.float32) * np.float32(extent), scores, iou_threshold)


def _nms_few(boxes: list[list[float]], iou_threshold: float) -> list[int]:
    """The same for boxes in the order of their scores."""
    kept: list[tuple[float, float, float, float, float]] = []
    keep: list[int] = []
    for number, (left, top, right, bottom) in enumerate(boxes):
        area = (right - left) * (bottom - top)
        for other_left, other_top, other_right, other_bottom, other_area in kept:
            width = min(right, other_right) - max(left, other_left)
            height = min(bottom, other_bottom) - max(top, other_top)
            if width > 0 and height > 0:
                shared = width * height
                if shared > iou_threshold * (area + other_area - shared):
                    break
        else:
            kept.append((left, top, right, bottom, area))
            keep.append(number)
    return keep
