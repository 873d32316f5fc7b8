"""Boxes and scores from the outputs of a detector: the inverse of vision/box_encoding.py. NMS is in nms.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.box_encoding import cell_centers
from pocketsight.device.vision.boxes import Boxes, Scores

Found = tuple[Boxes, Scores, NDArray[np.intp]]
"""Boxes (N, 4) in pixels of the input, scores (N,), 0..1, and numbers of labels (N,), from 0."""


def decode(outputs: Mapping[str, QuantizedTensor], strides: Sequence[int], threshold: float) -> tuple[Boxes, Scores]:
    """Read boxes from the outputs score_S (rows, columns, 1) and box_S (rows, columns, 4) of each stride S.

    Returns the boxes (N, 4), in pixels of the input, and the scores (N,) of all cells whose score is at least
    `threshold` (0..1), in no particular order.
    """
    boxes, scores = [], []
    for stride in strides:
        score = outputs[f"score_{stride}"]
        cells = (score.values.ravel() >= score.quantize_threshold(threshold)).nonzero()[0]
        if len(cells):
            boxes.append(_decode_boxes(outputs[f"box_{stride}"], cells, stride))
            scores.append(score.dequantize_at(cells))
    if len(boxes) == 1:
        return boxes[0], scores[0]
    if not boxes:
        return np.empty((0, 4), np.float32), np.empty(0, np.float32)
    return np.concatenate(boxes), np.concatenate(scores)


def decode_kinds(outputs: Mapping[str, QuantizedTensor], strides: Sequence[int], thresholds: Sequence[float]) -> Found:
    """As `decode`, for K kinds of objects: score_S is (rows, columns, K), and there is a threshold for each kind.

    Returns boxes (N, 4), scores (N,) and kinds (N,), numbers from 0. The kind of a cell is that of its best score.
    """
    found: list[Found] = []
    lowest, count = min(thresholds), len(thresholds)
    for stride in strides:
        score = outputs[f"score_{stride}"]
        # One pass over all scores, as few of them count: the best of each cell would take longer.
        values = score.values.ravel()
        hits = (values >= score.quantize_threshold(lowest)).nonzero()[0]
        if not len(hits):
            continue
        best: dict[int, tuple[float, int]] = {}  # cell -> its highest score, and where that is
        for index, value in zip(hits.tolist(), values[hits].tolist(), strict=True):
            cell = index // count
            if cell not in best or value > best[cell][0]:
                best[cell] = value, index
        limits = [score.quantize_threshold(threshold) for threshold in thresholds]
        indexes = np.array([index for value, index in best.values() if value >= limits[index % count]], np.intp)
        boxes = _decode_boxes(outputs[f"box_{stride}"], indexes // count, stride)
        found.append((boxes, score.dequantize_at(indexes), indexes % count))
    if len(found) == 1:
        return found[0]
    if not found:
        return np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.intp)
    all_boxes, scores, kinds = zip(*found, strict=True)
    return np.concatenate(all_boxes), np.concatenate(scores), np.concatenate(kinds)


def _decode_boxes(box: QuantizedTensor, cells: NDArray[np.intp], stride: int) -> Boxes:
    """The boxes (N, 4) of cells (N,), in pixels of the input, from an output box_S."""
    rows, columns = box.values.shape[:2]
    centers, signs = _decoding_grid(rows, columns, stride)
    sides = box.values.reshape(-1, 4)[cells].astype(np.float32)
    sides -= box.zero_point
    sides *= signs * np.float32(box.scale)
    sides += centers[cells]
    return np.asarray(sides, np.float32)


@lru_cache(maxsize=16)
def _decoding_grid(rows: int, columns: int, stride: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x, y, x, y of the cell centers in pixels, (cells, 4), and the pixels of one stride to each side, (4,)."""
    xy = cell_centers((rows * stride, columns * stride), stride)
    return np.tile(xy, 2), np.array([-stride, -stride, stride, stride], np.float32)


def decode_single(
    outputs: Mapping[str, QuantizedTensor], size: tuple[int, int], threshold: float
) -> tuple[Boxes, Scores]:
    """Read at most one box from the outputs score (1,) and box (4,) of a network with the input `size` (height, width).

    Returns boxes (0 or 1, 4), in pixels of the input, and scores. The inverse of `encode_single`.
    """
    score, box = outputs["score"], outputs["box"]
    (hits,) = np.nonzero(score.values >= score.quantize_threshold(threshold))
    height, width = size
    sides = box.dequantize()[np.newaxis] * np.array([width, height, width, height], np.float32)
    return sides[: len(hits)], score.dequantize(hits)
