"""Whether the tensors of a network are those that its manifest describes. Checked when a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pocketsight.device.inference.families import FAMILIES
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_input import QUANTIZED, input_size, quantized_range

FLOAT = np.dtype(np.float32)
RANGE_TOLERANCE = 0.01  # of the pixel range: 127.5 and 128 are both usual as the middle


def find_tensor_problem(spec: ModelSpec, inputs: Sequence[Any], outputs: Mapping[str, Any]) -> str:
    """How the input and the outputs differ from the manifest, for an error message; "" where they do not.

    The arguments are the interpreter's descriptions of tensors.
    """
    if len(inputs) != 1:
        return f"it has {len(inputs)} inputs, not one image"
    shapes = {name: tuple(map(int, out["shape"])) for name, out in outputs.items()}
    return (
        _input_problem(spec, inputs[0])
        or next(filter(None, (_type_problem(f"output {name}", out) for name, out in outputs.items())), "")
        or (FAMILIES[spec.family].find_output_problem(spec, shapes) if spec.family else _own_problem(spec, shapes))
    )


def _input_problem(spec: ModelSpec, detail: Any) -> str:
    shape = tuple(map(int, detail["shape"]))
    if len(shape) != 4 or shape[0] != 1 or input_size(shape)[2] not in (1, 3):
        return f"its input {shape} is not one image of 3 channels or 1"
    height, width, _ = input_size(shape)
    if (height, width) != tuple(spec.input_size):
        return f"its input is {height}x{width} (height x width), not {spec.input_size[0]}x{spec.input_size[1]}"
    if problem := _type_problem("input", detail):
        return problem
    if np.dtype(detail["dtype"]) in QUANTIZED:
        low, high = spec.pixel_range
        actual, limit = quantized_range(detail), RANGE_TOLERANCE * (high - low)
        if abs(actual[0] - low) > limit or abs(actual[1] - high) > limit:
            return (
                f"pixels of 0 to 255 become {low:g} to {high:g}, but its quantized input takes "
                f"{actual[0]:.4g} to {actual[1]:.4g}"
            )
    return ""


def _type_problem(name: str, detail: Any) -> str:
    dtype = np.dtype(detail["dtype"])
    if dtype == FLOAT:
        return ""
    if dtype not in QUANTIZED:
        return f"its {name} is {dtype}; int8, uint8 and float32 are supported"
    return "" if detail["quantization"][0] else f"its {name} is {dtype} without a scale"


def _own_problem(spec: ModelSpec, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The problem of a classifier, or of a detector as train/ makes it."""
    if spec.task == "classifier":
        return _classifier_problem(spec, shapes)
    (height, width), count = spec.input_size, len(spec.labels)
    expected: dict[str, tuple[int, ...]] = {"score": (1, 1), "box": (1, 4)}
    if spec.strides:
        grids = {stride: (1, height // stride, width // stride) for stride in spec.strides}
        expected = {f"score_{stride}": (*grid, count) for stride, grid in grids.items()}
        expected |= {f"box_{stride}": (*grid, 4) for stride, grid in grids.items()}
    for name, shape in expected.items():
        if name not in shapes:
            return f"it has no output {name}; its outputs are {', '.join(sorted(shapes))}"
        if shapes[name] != shape:
            return f"its output {name} is {shapes[name]}, not {shape}"
    return ""


def _classifier_problem(spec: ModelSpec, shapes: Mapping[str, tuple[int, ...]]) -> str:
    count = len(spec.labels)
    for name in ("score", "logits", "probabilities"):
        if name in shapes:
            values = int(np.prod(shapes[name]))
            needed = 1 if name == "score" else count
            if name == "score" and count != 2:
                return f"its output score is for 2 labels, not {count}"
            return "" if values == needed else f"its output {name} has {values} values, but there are {count} labels"
    return f"it has none of the outputs score, logits, probabilities; its outputs are {', '.join(sorted(shapes))}"
