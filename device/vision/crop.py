"""TODO docstring."""

from __future__ import annotations

import numpy as np

from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.resize import resize


def crop_window(image: Image, left: int, top: int, right: int, bottom: int) -> Image:
    """The pixels of a window, black where it reaches beyond the image. A view where it does not."""
    height, width = image.shape[:2]
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if 0 <= left and 0 <= top and right <= width and bottom <= height:
        return inside
    canvas = np.zeros((bottom - top, right - left, 3), dtype=np.uint8)
    y, x = max(-top, 0), max(-left, 0)
    canvas[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return canvas


def crop_face(image: Image, box: Box, margin: float, size: tuple[int, int]) -> Image:
    """Cut a square around `box`, grown on each side by `margin` of its longer side, and scale it to (height, width)."""
    side = max(1, round(max(box.right - box.left, box.bottom - box.top) * (1 + 2 * margin)))
    left, top = round((box.left + box.right - side) / 2), round((box.top + box.bottom - side) / 2)
    return resize(crop_window(image, left, top, left + side, top + side), size)
