"""TODO docstring."""

from __future__ import annotations

import numpy as np

from pocketsight.device.vision.image import Image
from pocketsight.device.vision.resize import resize


def letterbox(image: Image, size: tuple[int, int], canvas: Image | None = None) -> tuple[Image, float]:
    """Scale an image into `size` = (height, width), padding right and bottom with black.

    Returns the canvas and the scale: canvas pixels = image pixels * scale. The image stays in the
    top-left corner, so one division takes a box back. A `canvas` that is given is overwritten; a new one costs time.
    """
    height, width = size
    scale = min(height / image.shape[0], width / image.shape[1])
    h, w = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    if canvas is None:
        canvas = np.empty((height, width, 3), dtype=np.uint8)
    canvas[h:], canvas[:h, w:] = 0, 0
    resize(image, (h, w), canvas[:h, :w])
    return canvas, scale
