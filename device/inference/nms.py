"""Non-maximum suppression: one box for each face."""

from __future__ import annotations

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
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep, remaining = [], np.arange(len(order))
    while len(remaining):
        best, remaining = remaining[0], remaining[1:]
        keep.append(best)
        if not len(remaining):
            break
        low = np.maximum(boxes[best, :2], boxes[remaining, :2])
        sides = np.minimum(boxes[best, 2:], boxes[remaining, 2:])
        sides -= low
        np.maximum(sides, 0, out=sides)
        shared = sides[:, 0] * sides[:, 1]
        # shared / union <= threshold, without a division
        remaining = remaining[shared <= iou_threshold * (area[best] + area[remaining] - shared)]
    return order[np.array(keep, dtype=np.intp)]


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
