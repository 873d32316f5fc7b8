"""TODO docstring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.boxes import Boxes, Scores


def nms(boxes: Boxes, scores: Scores, iou_threshold: float) -> NDArray[np.intp]:
    """Indices of the boxes to keep, best first: each lower box that overlaps a kept one by more is dropped.

    Overlap is intersection over union, 0..1. Equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) < 2:
        return order
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep, left = [], np.arange(len(order))
    while len(left):
        best, left = left[0], left[1:]
        keep.append(best)
        if not len(left):
            break
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        sides = np.minimum(boxes[best, 2:], boxes[left, 2:])
        sides -= low
        np.maximum(sides, 0, out=sides)
        shared = sides[:, 0] * sides[:, 1]
        left = left[shared <= iou_threshold * (area[best] + area[left] - shared)]
    return order[np.array(keep, dtype=np.intp)]
