"""Crops: the square around a face that the classifier sees."""

from __future__ import annotations

import numpy as np

from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.resize import resize


def crop_window(image: Image, left: int, top: int, right: int, bottom: int) -> Image:
    """The pixels (bottom - top, right - left, 3) of a window, black outside the image.

    It is a view of the image where the window lies inside.
    """
    height, width = image.shape[:2]
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if 0 <= left and 0 <= top and right <= width and bottom <= height:
        return inside
    canvas = np.zeros((bottom - top, right - left, 3), dtype=np.uint8)
    y, x = max(-top, 0), max(-left, 0)
    canvas[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return canvas


def crop_face(image: Image, box: Box, margin: float, size: tuple[int, int]) -> Image:
    """Crop a square around `box` from an RGB image (H, W, 3) and resize it to `size` (height, width).

    On each side the square extends beyond the longer side of the box by `margin`, a fraction of that side.
    """
    side = max(1, round(box.longer_side * (1 + 2 * margin)))
    left, top = round((box.left + box.right - side) / 2), round((box.top + box.bottom - side) / 2)
    return resize(crop_window(image, left, top, left + side, top + side), size)


def crop_stretched(image: Image, box: Box, margin: float, size: tuple[int, int]) -> Image:
    """Crop `box` from an RGB image (H, W, 3), and resize it to `size` (height, width) without its aspect ratio.

    The crop extends beyond the box by `margin`, a fraction of its longer side.
    """
    left, top, right, bottom = map(round, box.expand(margin * box.longer_side))
    return resize(crop_window(image, left, top, max(right, left + 1), max(bottom, top + 1)), size)


def crop_center(image: Image, box: Box, margin: float, size: tuple[int, int]) -> Image:
    """As `crop_face`, but the square has the shorter side of the box, so that it lies inside without a margin."""
    side = max(1, round(min(box.width, box.height) * (1 + 2 * margin)))
    left, top = round((box.left + box.right - side) / 2), round((box.top + box.bottom - side) / 2)
    return resize(crop_window(image, left, top, left + side, top + side), size)
