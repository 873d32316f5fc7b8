"""Resizing without aliasing, the same in training, export and on the board."""

from __future__ import annotations

import cv2
import numpy as np

from pocketsight.device.vision.image import Image


def resize(image: Image, size: tuple[int, int], out: Image | None = None) -> Image:
    """Resize an RGB image (H, W, 3) to `size` (height, width), into `out` if it is given.

    The image is halved by area averaging as often as possible and then resized bilinearly. Unlike bilinear sampling
    alone this skips no pixel, in a fifth of the time of OpenCV's INTER_AREA. An image that has the size already is
    returned as it is.
    """
    height, width = size
    halvings = min(image.shape[0] // height, image.shape[1] // width).bit_length() - 1
    if halvings > 0:  # OpenCV halves fast only if it can do so exactly: stretch by less than 2**halvings pixels first
        rows, columns = (-(-length // 2**halvings) for length in image.shape[:2])
        image = _resize_once(image, (rows << halvings, columns << halvings))
        for remaining in reversed(range(halvings)):
            image = _resize_once(image, (rows << remaining, columns << remaining), cv2.INTER_AREA)
    shrinks_one_side = 2 * height <= image.shape[0] or 2 * width <= image.shape[1]
    return _resize_once(image, size, cv2.INTER_AREA if shrinks_one_side else cv2.INTER_LINEAR, out)


def _resize_once(
    image: Image, size: tuple[int, int], interpolation: int = cv2.INTER_LINEAR, out: Image | None = None
) -> Image:
    if image.shape[:2] != size:
        return np.asarray(cv2.resize(image, size[::-1], dst=out, interpolation=interpolation), dtype=np.uint8)
    if out is None:
        return image
    out[:] = image
    return out
