"""Where the pixels of a frame lie in the input of a detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox, letterbox_center, letterbox_scale, stretch

NO_OFFSET = np.zeros(4, np.float32)


def place(image: Image, spec: ModelSpec, canvas: Image) -> tuple[Image, Any, NDArray[np.float32]]:
    """Put an RGB image (H, W, 3) on a canvas of the input size, as the manifest asks.

    Returns the canvas, the scale, which is a number or one for each side of a box (4,), and the offset (4,):
    canvas pixels = image pixels * scale + offset.
    """
    if spec.fit == "stretch":
        canvas, scales = stretch(image, canvas)
        return canvas, np.array(scales * 2, np.float32), NO_OFFSET
    if spec.fit == "center":
        canvas, scale, edges = letterbox_center(image, spec.padding, canvas)
        return canvas, scale, np.array(edges * 2, np.float32)
    canvas, scale = letterbox(image, spec.input_size, canvas)
    return canvas, scale, NO_OFFSET


def frame_scale(size: tuple[int, int], spec: ModelSpec) -> float:
    """By how much a frame of `size` (height, width) is resized for a detector; of two scales the larger one."""
    if spec.fit == "stretch":
        return max(spec.input_size[0] / size[0], spec.input_size[1] / size[1])
    return letterbox_scale(size, spec.input_size)
