"""How the pixels of an image become the input of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.image import Image

InputWriter = Callable[[Image, NDArray[Any]], None]
"""Writes an RGB image (H, W, 3) uint8 into the memory of an input tensor, without its batch axis."""

QUANTIZED = np.dtype(np.int8), np.dtype(np.uint8)


def is_channels_first(shape: tuple[int, ...]) -> bool:
    """Whether an input tensor of four axes is (1, channels, height, width), as PyTorch has it."""
    return shape[3] not in (1, 3) and shape[1] in (1, 3)


def input_size(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width and channels of an input tensor of four axes."""
    return (shape[2], shape[3], shape[1]) if is_channels_first(shape) else (shape[1], shape[2], shape[3])


def quantized_range(detail: dict[str, Any]) -> tuple[float, float]:
    """The real numbers that the lowest and the highest value of a quantized tensor mean."""
    limits, (scale, zero) = np.iinfo(detail["dtype"]), detail["quantization"]
    return float((limits.min - zero) * scale), float((limits.max - zero) * scale)


def make_input_writer(detail: dict[str, Any], pixel_range: tuple[float, float]) -> InputWriter:
    """How images get into an input tensor, of which `detail` is the interpreter's description.

    In a float tensor the values 0 and 255 of a pixel become the real numbers `pixel_range`, and those between are in
    proportion. A quantized tensor must have this range itself: it gets the pixels, moved to its lowest value.
    """
    shape, dtype = tuple(map(int, detail["shape"])), np.dtype(detail["dtype"])
    convert: InputWriter = _write_centered if dtype == np.int8 else _write_pixels
    if dtype not in QUANTIZED and pixel_range != (0, 255):
        convert = _float_converter(*pixel_range)
    channels_first = is_channels_first(shape)
    if input_size(shape)[2] == 3 and not channels_first:
        return convert
    return _planes_writer(convert, is_gray=input_size(shape)[2] == 1, channels_first=channels_first)


def _float_converter(low: float, high: float) -> InputWriter:
    divisor, first = np.float32(255 / (high - low)), np.float32(low)

    def write(image: Image, view: NDArray[Any]) -> None:
        _require_shape(image, view)
        np.divide(image, divisor, out=view)  # less than half the time of a table
        if first:
            view += first

    return write


def _require_shape(image: Image, view: NDArray[Any]) -> None:
    if view.shape != image.shape:
        raise ValueError(f"the model takes an image of shape {view.shape}, not {image.shape}")


def _write_centered(image: Image, view: NDArray[Any]) -> None:
    _require_shape(image, view)
    np.bitwise_xor(image, 128, out=view.view(np.uint8))  # pixel - 128 in two's complement: one pass, no copy


def _write_pixels(image: Image, view: NDArray[Any]) -> None:
    _require_shape(image, view)
    view[:] = image


def _planes_writer(convert: InputWriter, is_gray: bool, channels_first: bool) -> InputWriter:
    """For one channel, which is gray, or for channels before the height and the width."""

    def write(image: Image, view: NDArray[Any]) -> None:
        planes = view if channels_first else view[None, ..., 0]
        sources = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)] if is_gray else cv2.split(image)
        for source, plane in zip(sources, planes, strict=True):
            convert(np.asarray(source, np.uint8), plane)

    return write
