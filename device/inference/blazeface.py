"""Boxes and scores from BlazeFace, the face detector of MediaPipe (arXiv 1907.05047): distances from anchors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.postprocess import Found
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.box_encoding import cell_centers

OUTPUTS = "boxes", "scores"
VALUES = 16  # of an anchor: center x and y, width, height, then x and y of six points of the face
GRIDS = {  # side of the input -> stride and anchors of each cell: short range, full range, and the former rear camera
    128: ((8, 2), (16, 6)),
    192: ((4, 1),),
    256: ((16, 2), (32, 6)),
}


@lru_cache(maxsize=4)
def make_anchors(side: int) -> NDArray[np.float32]:
    """x and y of the anchors (N, 2), in pixels of an input of this side. Several anchors share a center."""
    return np.concatenate([cell_centers((side, side), stride).repeat(count, 0) for stride, count in GRIDS[side]])


def find_output_problem(spec: ModelSpec, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What differs from the outputs of BlazeFace; "" for nothing. `shapes` have a batch axis."""
    height, width = spec.input_size
    if height != width or width not in GRIDS:
        return f"its input is {height}x{width}; that of BlazeFace is a square of {', '.join(map(str, GRIDS))} pixels"
    count = len(make_anchors(width))
    expected = {"boxes": (1, count, VALUES), "scores": (1, count, 1)}
    if wrong := [name for name, shape in expected.items() if shapes.get(name) != shape]:
        return f"its output {wrong[0]} is {shapes.get(wrong[0])}, that of BlazeFace is {expected[wrong[0]]}"
    return "" if len(spec.labels) == 1 else f"it has {len(spec.labels)} labels; BlazeFace finds faces only"


def decode_blazeface(outputs: Mapping[str, QuantizedTensor], spec: ModelSpec, thresholds: Sequence[float]) -> Found:
    """Read boxes (anchors, 16), in pixels of the input, and logits of scores (anchors, 1)."""
    logits, boxes = outputs["scores"], outputs["boxes"]
    cells = (logits.values.ravel() >= logits.quantize_threshold(_logit(thresholds[0]))).nonzero()[0]
    found = boxes.dequantize(cells)[:, :4]
    centers, halves = found[:, :2] + make_anchors(spec.input_size[1])[cells], found[:, 2:] / 2
    scores = np.asarray(1 / (1 + np.exp(-np.clip(logits.dequantize_at(cells), -80, 80))), np.float32)
    return np.concatenate([centers - halves, centers + halves], 1), scores, np.zeros(len(cells), np.intp)


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        return math.inf if probability >= 1 else -math.inf
    return math.log(probability / (1 - probability))
