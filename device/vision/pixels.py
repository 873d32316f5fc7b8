"""The pixels of a frame: decoded when somebody needs them, and no larger than needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import CameraError
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.jpeg import decode_jpeg, is_complete_jpeg, parse_jpeg_header
from pocketsight.device.vision.turn import UPRIGHT, Turn

HEADER_BYTES = 1 << 17  # of a JPEG file: its EXIF entry, which may hold a small image, is up to 64 KB
SAMPLE_GRID = 32  # rows and columns that are compared: 5 microseconds per frame, and each of them has noise
REDUCTIONS = 1, 2, 4, 8
"""By these a decoder can divide the sides of an image."""


def sample_pixels(image: NDArray[np.uint8]) -> bytes:
    """A sparse sample of the pixels of an image (H, W, ...), to compare it with others."""
    height, width = image.shape[:2]
    return image[:: max(1, height // SAMPLE_GRID), :: max(1, width // SAMPLE_GRID)].tobytes()


class Pixels:
    """An image that is not decoded yet.

    `size` is its (height, width), and `decode` returns it as RGB with its sides divided by one of `reductions`, rounded
    up; it may raise CameraError or DataError. `fingerprint` is equal for equal images.
    """

    def __init__(
        self,
        size: tuple[int, int],
        decode: Callable[[int], Image],
        reductions: tuple[int, ...] = REDUCTIONS,
        fingerprint: Callable[[], bytes] | None = None,
        decode_ms: float = 0.0,
    ) -> None:
        self.size, self.decode, self.reductions = size, decode, reductions
        self.fingerprint = fingerprint or (lambda: sample_pixels(self.reduced(1)))
        self.decode_ms = decode_ms  # milliseconds spent on decoding so far
        self.images: dict[int, Image] = {}  # by reduction

    def reduced(self, reduction: int) -> Image:
        """The RGB image with its sides divided by at most `reduction`: one that is decoded already, if there is one."""
        ready = max((each for each in self.images if each <= reduction), default=0)
        if ready:
            return self.images[ready]
        best = max(each for each in self.reductions if each <= reduction)
        start = perf_counter()
        image = self.images[best] = self.decode(best)
        self.decode_ms += 1000 * (perf_counter() - start)
        return image

    def turned(self, turn: Turn) -> Pixels:
        """The same image, turned."""
        if turn == UPRIGHT:
            return self
        return Pixels(
            turn.size(self.size),
            lambda reduction: turn.apply(self.reduced(reduction)),
            self.reductions,
            self.fingerprint,
            self.decode_ms,
        )


Content = Pixels | Image
"""The content of a frame: an RGB image (H, W, 3), or pixels that become one."""


def reduced_image(content: Content, reduction: int = 1) -> Image:
    """The RGB image of a frame with its sides divided by at most `reduction`."""
    return content.reduced(reduction) if isinstance(content, Pixels) else content


def frame_size(content: Content) -> tuple[int, int]:
    """The (height, width) of a frame."""
    return content.size if isinstance(content, Pixels) else (content.shape[0], content.shape[1])


def fingerprint(content: Content) -> bytes:
    """A value that is equal for equal frames of a camera."""
    return content.fingerprint() if isinstance(content, Pixels) else sample_pixels(content)


def choose_reduction(scale: float) -> int:
    """The largest reduction of an image that will be resized by `scale` anyway."""
    return max((each for each in REDUCTIONS if each * scale <= 1), default=1)


def jpeg_pixels(data: bytes) -> Pixels:
    """The pixels of JPEG data from a camera. They raise CameraError where the data are damaged."""
    header = parse_jpeg_header(data)
    is_whole = header is not None and is_complete_jpeg(data)

    def decode(reduction: int) -> Image:
        image = decode_jpeg(data, reduction) if is_whole else None
        if image is None:
            raise CameraError("its images are damaged or truncated JPEGs")
        return image

    return Pixels(header or (1, 1), decode, fingerprint=lambda: data)


def open_image(path: Path) -> Content:
    """The content of an image file: a JPEG is decoded later. Raises DataError as `read_image` does."""
    try:
        with path.open("rb") as file:
            header = parse_jpeg_header(file.read(HEADER_BYTES))
    except OSError:
        header = None
    if header is None:
        return read_image(path)
    return Pixels(header, lambda reduction: read_image(path, reduction))


def raw_pixels(
    raw: NDArray[np.uint8], size: tuple[int, int], decode: Callable[[NDArray[np.uint8], int], Image]
) -> Pixels:
    """The pixels of a raw image of a camera, which `decode` converts."""
    return Pixels(size, lambda reduction: decode(raw, reduction), fingerprint=lambda: sample_pixels(raw))
