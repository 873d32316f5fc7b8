"""Raw images of cameras and videos, scaled before they are converted to RGB.

Halving planes of one or four channels is what OpenCV does fastest. Color is sampled, near the center of each square.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.image import Image

Plane = NDArray[np.uint8]
"""(H, W), or (H, W, channels)."""
# From all 256 levels to those of video, 16 to 235 for luma and 16 to 240 for color.
LUMA_TO_VIDEO = np.round(16 + np.arange(256) * 219 / 255).astype(np.uint8)
CHROMA_TO_VIDEO = np.round(128 + (np.arange(256) - 128) * 224 / 255).astype(np.uint8)


def can_reduce(height: int, width: int, reduction: int) -> bool:
    """Whether an image divided by `reduction` has whole pairs of pixels, which share a color."""
    return reduction > 1 and height % (2 * reduction) == 0 and width % (2 * reduction) == 0


def decode_yuyv(raw: Plane, reduction: int = 1) -> Image:
    """The RGB image (H, W, 3) of YUYV (H, W, 2), its sides divided by `reduction` where they can be."""
    height, width = raw.shape[:2]
    if not can_reduce(height, width, reduction):
        return np.asarray(cv2.cvtColor(raw, cv2.COLOR_YUV2RGB_YUYV), np.uint8)
    if reduction == 2:
        luma, chroma = cv2.split(raw)
        pairs = np.asarray(chroma, np.uint8).reshape(height, width // 2, 2)
        return _to_rgb(_halve(np.asarray(luma, np.uint8)), pairs[2::4, 1::2])
    quads = raw.reshape(height, width // 2, 4)  # of two pixels each: luma, blue, luma, red
    while quads.shape[1] > width // reduction:
        quads = _halve(quads)
    first, blue, second, red = (np.asarray(plane, np.uint8) for plane in cv2.split(quads))
    luma = _mean(_mean(first[::2], first[1::2]), _mean(second[::2], second[1::2]))
    return _to_rgb(luma, np.dstack([blue[2::4, 1::2], red[2::4, 1::2]]))


def decode_nv12(raw: Plane, reduction: int = 1) -> Image:
    """The RGB image (H, W, 3) of NV12 (H * 3 / 2, W), its sides divided by `reduction` where they can be."""
    height, width = raw.shape[0] * 2 // 3, raw.shape[1]
    if not can_reduce(height, width, reduction):
        return np.asarray(cv2.cvtColor(raw, cv2.COLOR_YUV2RGB_NV12), np.uint8)
    pairs, half = raw[height:].reshape(height // 2, width // 2, 2), reduction // 2
    return _to_rgb(_halve_by(raw[:height], reduction), pairs[half::reduction, half::reduction])


def reduce_yuv420(luma: Plane, blue: Plane, red: Plane, reduction: int, is_full_range: bool) -> Image:
    """The RGB image of planes (H, W) and twice (H / 2, W / 2), its sides divided by `reduction`; see `can_reduce`.

    All videos are converted as those of standard definition, as by OpenCV.
    """
    luma, half = _halve_by(luma, reduction), reduction // 2
    chroma = np.dstack([plane[half::reduction, half::reduction] for plane in (blue, red)])
    if is_full_range:
        luma, chroma = np.asarray(cv2.LUT(luma, LUMA_TO_VIDEO), np.uint8), CHROMA_TO_VIDEO[chroma]
    return _to_rgb(luma, chroma)


def _to_rgb(luma: Plane, chroma: Plane) -> Image:
    return np.asarray(cv2.cvtColorTwoPlane(luma, np.ascontiguousarray(chroma), cv2.COLOR_YUV2RGB_NV12), np.uint8)


def _halve_by(plane: Plane, reduction: int) -> Plane:
    for _ in range(reduction.bit_length() - 1):
        plane = _halve(plane)
    return plane


def _halve(plane: Plane) -> Plane:
    size = plane.shape[1] // 2, plane.shape[0] // 2
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)


def _mean(one: Plane, other: Plane) -> Plane:
    return np.asarray(cv2.addWeighted(one, 0.5, other, 0.5, 0), np.uint8)
