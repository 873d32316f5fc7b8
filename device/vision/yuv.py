"""Raw images of cameras, YUYV and NV12, scaled before they are converted to RGB."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.image import Image

RawImage = NDArray[np.uint8]
"""YUYV: (H, W, 2). NV12: (H * 3 / 2, W)."""


def decode_yuyv(raw: RawImage, reduction: int = 1) -> Image:
    """The RGB image (H, W, 3) of YUYV (H, W, 2), its sides divided by `reduction`."""
    height, width = raw.shape[:2]
    if not _can_reduce(height, width, reduction):
        return np.asarray(cv2.cvtColor(raw, cv2.COLOR_YUV2RGB_YUYV), np.uint8)
    luma, chroma = cv2.split(raw)
    return _reduce_planes(np.asarray(luma, np.uint8), np.asarray(chroma, np.uint8).reshape(height, -1, 2), reduction)


def decode_nv12(raw: RawImage, reduction: int = 1) -> Image:
    """The RGB image (H, W, 3) of NV12 (H * 3 / 2, W), its sides divided by `reduction`."""
    height, width = raw.shape[0] * 2 // 3, raw.shape[1]
    if not _can_reduce(height, width, reduction):
        return np.asarray(cv2.cvtColor(raw, cv2.COLOR_YUV2RGB_NV12), np.uint8)
    return _reduce_planes(raw[:height], raw[height:].reshape(height // 2, -1, 2), reduction)


def _can_reduce(height: int, width: int, reduction: int) -> bool:
    """Whether the smaller image has whole pairs of pixels, which share a color."""
    return reduction > 1 and height % (2 * reduction) == 0 and width % (2 * reduction) == 0


def _reduce_planes(luma: RawImage, chroma: NDArray[np.uint8], reduction: int) -> Image:
    """Average luma (H, W) and chroma (any height, W / 2, 2), then convert."""
    height, width = luma.shape[0] // reduction, luma.shape[1] // reduction
    luma = _shrink(luma, height, width)
    chroma = _shrink(chroma, height // 2, width // 2)
    return np.asarray(cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2RGB_NV12), np.uint8)


def _shrink(plane: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
