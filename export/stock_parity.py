"""Prove that a file for other programs gives what the board's code reads from the outputs of the trained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import ParityError
from pocketsight.device.inference.classifier import SCORE_EPSILON, to_probabilities
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.postprocess import decode, decode_kinds, decode_single
from pocketsight.device.vision.image import Image
from pocketsight.export.golden_inputs import draw_inputs

Outputs = Mapping[str, NDArray[np.float32]]

# One step of an int8 score; a tenth of a pixel of the input.
MAX_DIFFERENCE = {"probabilities": 1 / 256, "scores": 1 / 256, "boxes": 0.1}


def check_outputs(trained: Model, predict: Callable[[NDArray[np.float32]], Outputs]) -> dict[str, Any]:
    """The parity report, for the manifest: the largest and mean difference of each output on synthetic images.

    `predict` takes RGB images (B, H, W, 3), float32, 0..255, and gives the outputs of `build_stock_network`.
    Raises ParityError when a difference is larger than MAX_DIFFERENCE.
    """
    images = draw_inputs(trained.spec.input_size)
    found = predict(np.stack(images).astype(np.float32))
    expected = [read_outputs(trained, image) for image in images]
    report = {}
    for name in expected[0]:
        difference = np.abs(_as_on_board(name, found[name]) - np.stack([outputs[name] for outputs in expected]))
        if not difference.max() <= MAX_DIFFERENCE[name]:  # also NaN
            raise ParityError(
                f"the exported {name} differ from those of the trained network by {difference.max():.4g}; the limit "
                f"is {MAX_DIFFERENCE[name]:.4g}. Nothing was written"
            )
        report[name] = {"max_abs": float(f"{difference.max():.2g}"), "mean_abs": float(f"{difference.mean():.2g}")}
    return {"output_difference": report, "images": len(images)}


def read_outputs(trained: Model, image: Image) -> Outputs:
    """What the board reads from the network for an RGB image (H, W, 3), uint8: a file should give the same."""
    outputs, spec = trained.infer(image), trained.spec
    if spec.task == "classifier":
        return {"probabilities": _as_on_board("probabilities", to_probabilities(outputs, spec.temperature))}
    if not spec.strides:
        boxes, scores = decode_single(outputs, spec.input_size, 0.0)
        return {"boxes": boxes, "scores": scores}
    if (count := len(spec.labels)) == 1:
        boxes, scores = decode(outputs, spec.strides, 0.0)
        return {"boxes": boxes, "scores": scores}
    boxes = decode_kinds(outputs, spec.strides, (0.0,) * count)[0]
    grids = [outputs[f"score_{stride}"].dequantize().reshape(-1, count) for stride in spec.strides]
    return {"boxes": boxes, "scores": np.concatenate(grids)}


def _as_on_board(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The board keeps the score of two classes away from 0 and 1."""
    return np.clip(values, SCORE_EPSILON, 1 - SCORE_EPSILON) if name == "probabilities" else values
