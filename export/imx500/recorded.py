"""The quantized network as a Model: it ran in another environment, so its outputs are looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation.detector import DETECTOR_FRAME_SIZE


class RecordedModel:
    """The outputs (M, ...) float32 of a network for M inputs (H, W, 3) uint8. Call it with one of these inputs.

    Raises KeyError for another input.
    """

    def __init__(self, inputs: Sequence[Image], outputs: Mapping[str, NDArray[np.float32]]) -> None:
        self.rows = {_digest(image): number for number, image in enumerate(inputs)}
        self.outputs = outputs

    def __call__(self, image: Image) -> dict[str, QuantizedTensor]:
        row = self.rows[_digest(image)]
        return {name: QuantizedTensor(values[row]) for name, values in self.outputs.items()}


def _digest(image: Image) -> bytes:
    return blake2b(image.tobytes(), digest_size=16).digest()


def evaluation_inputs(
    spec: ModelSpec, samples: Sequence[DetectionSample], frame_size: tuple[int, int] = DETECTOR_FRAME_SIZE
) -> Iterator[Image]:
    """The inputs (H, W, 3) uint8 that `run_detector` gives to a detector for these samples; no unreadable ones."""
    for sample in samples:
        try:
            image = sample.read()
        except DataError:
            continue
        yield letterbox(letterbox(image, frame_size)[0], spec.input_size)[0]
