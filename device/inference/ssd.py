"""Boxes and scores from an SSD that ends with TFLite's operator TFLite_Detection_PostProcess, which does NMS itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.postprocess import Found
from pocketsight.device.inference.quantized import QuantizedTensor

OPERATOR = "TFLite_Detection_PostProcess"
OUTPUTS = "boxes", "classes", "scores", "count"  # in the order of the operator


def find_output_problem(spec: ModelSpec, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What differs from the outputs of the operator; "" for nothing. `shapes` have a batch axis."""
    if missing := [name for name in OUTPUTS if name not in shapes]:
        return f"it has no output {', '.join(missing)}; those of {OPERATOR} are {', '.join(OUTPUTS)}"
    number = shapes["boxes"][1] if len(shapes["boxes"]) == 3 else 0
    expected = {"boxes": (1, number, 4), "classes": (1, number), "scores": (1, number), "count": (1,)}
    wrong = [name for name, shape in expected.items() if shapes[name] != shape]
    return f"its outputs are {shapes}, which are not those of {OPERATOR}" if wrong else ""


def decode_ssd(outputs: Mapping[str, QuantizedTensor], spec: ModelSpec, thresholds: Sequence[float]) -> Found:
    """Read boxes (N, 4): top, left, bottom, right as fractions; classes (N,), scores (N,), and how many count.

    The classes are numbered from 0. There is a threshold for each label.
    """
    count = int(outputs["count"].dequantize())
    kinds = outputs["classes"].dequantize(slice(count)).astype(np.intp)
    scores = outputs["scores"].dequantize(slice(count))
    enough = ((kinds >= 0) & (kinds < len(thresholds))).nonzero()[0]
    enough = enough[scores[enough] >= np.asarray(thresholds, np.float32)[kinds[enough]]]
    height, width = spec.input_size
    boxes = outputs["boxes"].dequantize(enough)[:, [1, 0, 3, 2]]
    boxes *= np.array([width, height, width, height], np.float32)
    return boxes, scores[enough], kinds[enough]
