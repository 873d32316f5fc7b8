"""An image of any size on the canvas that the detector takes: letterboxed, or stretched."""

from __future__ import annotations

import numpy as np

from pocketsight.device.vision.image import Image
from pocketsight.device.vision.resize import resize


def letterbox_scale(image_size: tuple[int, int], size: tuple[int, int]) -> float:
    """The factor that fits an image of `image_size` into `size`, both (height, width)."""
    return min(size[0] / image_size[0], size[1] / image_size[1])


def letterbox(image: Image, size: tuple[int, int], canvas: Image | None = None) -> tuple[Image, float]:
    """Resize an RGB image (H, W, 3) to fit into `size` (height, width), with black padding at the right and bottom.

    Returns the canvas and the scale: canvas pixels = image pixels * scale. The image is in the top left corner, so
    one division maps a box back. A given `canvas` of that size is overwritten, which saves the allocation.
    """
    height, width = size
    scale = letterbox_scale(image.shape[:2], size)
    h, w = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    if canvas is None:
        canvas = np.empty((height, width, 3), dtype=np.uint8)
    canvas[h:], canvas[:h, w:] = 0, 0
    resize(image, (h, w), canvas[:h, :w])
    return canvas, scale


def letterbox_center(image: Image, padding: int, canvas: Image) -> tuple[Image, float, tuple[int, int]]:
    """Resize an RGB image (H, W, 3) to fit into the center of a canvas, which is overwritten.

    Returns the canvas, the scale and the left and top edges: canvas pixels = image pixels * scale + edges. The pixels
    around the image get the value `padding`, 0..255.
    """
    height, width = canvas.shape[:2]
    scale = letterbox_scale(image.shape[:2], (height, width))
    h, w = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    top, left = (height - h) // 2, (width - w) // 2
    canvas[:top], canvas[top + h :], canvas[:, :left], canvas[:, left + w :] = (padding,) * 4
    resize(image, (h, w), canvas[top : top + h, left : left + w])
    return canvas, scale, (left, top)


def stretch(image: Image, canvas: Image) -> tuple[Image, tuple[float, float]]:
    """Resize an RGB image (H, W, 3) to fill a canvas, which is overwritten. Returns it and the scales of x and y."""
    height, width = canvas.shape[:2]
    resize(image, (height, width), canvas)
    return canvas, (width / image.shape[1], height / image.shape[0])
