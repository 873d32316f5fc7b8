"""Boxes and scores from a YOLO v8 or 11 of Ultralytics: one output with a column for each cell of three grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.postprocess import Found
from pocketsight.device.inference.quantized import QuantizedTensor

OUTPUT = "output"
BOX_ROWS = 4  # center x, center y, width, height; then a row of scores for each label
STRIDES = (8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64)  # of the usual network, and of its variants P2 and P6


def cell_counts(input_size: tuple[int, int]) -> tuple[int, ...]:
    """The number of cells of each variant, for an input of (height, width)."""
    height, width = input_size
    return tuple(sum(-(-height // stride) * -(-width // stride) for stride in strides) for strides in STRIDES)


def find_output_problem(spec: ModelSpec, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What differs from the output of such a network; "" for nothing. `shapes` have a batch axis."""
    shape, rows = shapes.get(OUTPUT, ()), BOX_ROWS + len(spec.labels)
    expected = [form for cells in cell_counts(spec.input_size) for form in ((1, rows, cells), (1, cells, rows))]
    if shape in expected:
        return ""
    return f"its output is {shape}; with {len(spec.labels)} labels it must be {expected[0]} or {expected[1]}"


def decode_yolo(outputs: Mapping[str, QuantizedTensor], spec: ModelSpec, thresholds: Sequence[float]) -> Found:
    """Read boxes from an output (4 + labels, cells) or (cells, 4 + labels).

    The label of a cell is that of its best score, and there is a threshold for each label.
    """
    output = outputs[OUTPUT]
    rows = BOX_ROWS + len(spec.labels)
    values = output.values if len(output.values) == rows else output.values.T  # a view
    best = values[BOX_ROWS] if len(spec.labels) == 1 else values[BOX_ROWS:].max(0)
    cells = (best >= output.quantize_threshold(min(thresholds))).nonzero()[0]
    found = QuantizedTensor(values[:, cells], output.scale, output.zero_point).dequantize()
    kinds = found[BOX_ROWS:].argmax(0)
    scores = found[BOX_ROWS:].max(0)
    centers, halves = found[:2], found[2:BOX_ROWS] / 2
    boxes = np.concatenate([centers - halves, centers + halves]).T
    if spec.box_unit == "fractions":
        height, width = spec.input_size
        boxes *= np.array([width, height, width, height], np.float32)
    if len(set(thresholds)) > 1:
        enough = scores >= np.asarray(thresholds, np.float32)[kinds]
        return boxes[enough], scores[enough], kinds[enough]
    return boxes, scores, kinds
