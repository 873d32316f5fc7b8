"""Non-maximum suppression: one box for each object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.boxes import Boxes, Scores


def nms(boxes: Boxes, scores: Scores, iou_threshold: float) -> NDArray[np.intp]:
    """Indices of the boxes (N, 4) to keep, best score first.

    A box is dropped if its IoU (0..1) with a kept box of a higher score is above `iou_threshold`. Boxes with equal
    scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) < 2:
        return order
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


def nms_by_kind(boxes: Boxes, scores: Scores, kinds: NDArray[np.intp], iou_threshold: float) -> NDArray[np.intp]:
    """As `nms`, but a box is dropped only for a better one of the same kind; `kinds` (N,) are numbers from 0.

    The boxes of each kind are moved to a place of their own, so that those of two kinds never overlap.
    """
    if len(boxes) < 2 or kinds.min() == kinds.max():
        return nms(boxes, scores, iou_threshold)
    extent = np.exp2(np.ceil(np.log2(np.abs(boxes).max() + 1)) + 1)  # a power of two, to round as little as possible
    return nms(boxes + (kinds[:, None] * extent).astype(np.float32), scores, iou_threshold)
