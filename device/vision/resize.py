"""TODO docstring."""

from __future__ import annotations

import cv2
import numpy as np

from pocketsight.device.vision.image import Image


def resize(image: Image, size: tuple[int, int], out: Image | None = None) -> Image:
    """Scale to (height, width), into `target` if there is one: by halves, each pixel the mean of four, then bilinearly.

    So no pixel is skipped, as bilinear sampling alone would, in a fifth of the time that OpenCV's INTER_AREA takes.
    """
    height, width = size
    halves = min(image.shape[0] // height, image.shape[1] // width).bit_length() - 1
    if halves > 0:  # exactly, for which OpenCV is fast; an odd picture is stretched by less than its last pixels first
        rows, columns = (-(-length // 2**halves) for length in image.shape[:2])
        image = _resize_once(image, (rows << halves, columns << halves))
        for half in reversed(range(halves)):
            image = _resize_once(image, (rows << half, columns << half), cv2.INTER_AREA)
    stretched = 2 * height <= image.shape[0] or 2 * width <= image.shape[1]
    return _resize_once(image, size, cv2.INTER_AREA if stretched else cv2.INTER_LINEAR, out)


def _resize_once(
    image: Image, size: tuple[int, int], interpolation: int = cv2.INTER_LINEAR, out: Image | None = None
) -> Image:
    if image.shape[:2] != size:
        return np.asarray(cv2.resize(image, size[::-1], dst=out, interpolation=interpolation), dtype=np.uint8)
    if out is None:
        return image
    out[:] = image
    return out
