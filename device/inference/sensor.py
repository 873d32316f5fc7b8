"""Detections from the outputs of a network that ran inside the camera, on its own picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.detector import Detection, find_objects, place_in_frame
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.system.stage_timer import StageHook, no_timing
from pocketsight.device.vision.boxes import Boxes

Tensor = NDArray[np.float32]
Rectangle = tuple[float, float, float, float]
"""Left, top, width, height, in pixels of the whole sensor."""

GRID_TOLERANCE = 0.01  # of a quantization step: real numbers come from integers, so they lie on steps


@dataclass(frozen=True)
class SensorOutputs:
    """The outputs of a detector for one frame, and where its input lies in the frame."""

    outputs: Mapping[str, QuantizedTensor]
    spec: ModelSpec
    scale: tuple[float, float]  # pixels of the frame for one pixel of the input, in x and y
    offset: tuple[float, float]  # x and y of the input's corner in the frame
    network_ms: float | None = None  # time of the network in the sensor, where the camera reports it


def detect_in_sensor(
    sensor: SensorOutputs, frame_size: tuple[int, int], end_stage: StageHook = no_timing
) -> list[Detection]:
    """The detections of the camera's network in a frame of `frame_size` (height, width), best score first."""
    boxes, scores, labels = find_objects(sensor.outputs, sensor.spec)
    scale, offset = (np.array(pair * 2, np.float32) for pair in (sensor.scale, sensor.offset))
    placed: Boxes = boxes * scale + offset
    found = place_in_frame(placed, scores, labels, frame_size)
    end_stage("postprocess")
    return found


def input_in_frame(
    roi: Rectangle, crop: Rectangle, input_size: tuple[int, int], frame_size: tuple[int, int]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Scale and offset of `SensorOutputs`: the input shows `roi` of the sensor, and the frame shows `crop`.

    Both sizes are (height, width).
    """
    zoom = frame_size[1] / crop[2], frame_size[0] / crop[3]  # frame pixels for one sensor pixel
    scale = roi[2] / input_size[1] * zoom[0], roi[3] / input_size[0] * zoom[1]
    return scale, ((roi[0] - crop[0]) * zoom[0], (roi[1] - crop[1]) * zoom[1])


def name_outputs(arrays: Sequence[Tensor], expected: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    """The outputs by name, in whatever order the camera gives them. `expected` are those of the manifest.

    Their shapes tell them apart. A detector of four labels has scores of the shape of its boxes: the scores, which are
    at most 1, are those with the smaller maximum. Raises ModelError when the shapes are not those of the manifest.
    """
    remaining = sorted(arrays, key=lambda array: float(array.max(initial=0)))
    named = {}
    for name in sorted(expected, key=lambda name: not name.startswith("score")):
        shape = tuple(expected[name]["shape"])
        index = next((n for n, array in enumerate(remaining) if array.shape == shape), None)
        if index is None:
            break
        named[name] = remaining.pop(index)
    if remaining or len(named) < len(expected):
        found, wanted = ([_text(shape) for shape in shapes] for shapes in (_shapes(arrays), _expected(expected)))
        raise ModelError(f"the camera gives outputs of {', '.join(found) or 'no shape'} instead of {', '.join(wanted)}")
    return named


def require_steps(named: Mapping[str, Tensor], expected: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ModelError unless all numbers are integers of the manifest's type times its scale."""
    for name, values in named.items():
        facts = expected[name]
        limits = np.iinfo(facts["type"])
        steps = values / np.float32(facts["scale"]) + facts["shift"]
        off_grid = np.abs(steps - np.round(steps)).max() > GRID_TOLERANCE
        if off_grid or not (limits.min <= steps.min() and steps.max() <= limits.max):  # also NaN
            raise ModelError(
                f"the output {name} is not {facts['type']} in steps of {facts['scale']:g}: another network runs there"
            )


def _shapes(arrays: Sequence[Tensor]) -> list[tuple[int, ...]]:
    return sorted(array.shape for array in arrays)


def _expected(expected: Mapping[str, Mapping[str, Any]]) -> list[tuple[int, ...]]:
    return sorted(tuple(facts["shape"]) for facts in expected.values())


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
