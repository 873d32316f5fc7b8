"""Images, and the only code that changes their geometry before a model sees them.

Training, calibration, scoring and the board all call these functions, so a model meets the same pixels everywhere.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.vision.boxes import Box

Image = NDArray[np.uint8]  # (height, width, 3), RGB, 0..255

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def read_image(path: Path) -> Image:
    """Read a file as RGB (H, W, 3) uint8, turned upright by its EXIF entry. Raises DataError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data:
        raise DataError(
            f"{path} is a JPEG cut short; copy or download it again"
        )  # OpenCV would fill the rest with grey
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:  # it claims to be larger than OpenCV allows
        image = None
    if image is None:
        raise DataError(f"{path} is not an image that OpenCV can read")
    return to_rgb(np.asarray(image, dtype=np.uint8))


def to_rgb(image: NDArray[np.uint8]) -> Image:
    """Swap the first and third channel: OpenCV's B, G, R becomes R, G, B (and the other way round)."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def list_images(folder: Path) -> list[Path]:
    """Every picture below a folder, by name. Hidden files and folders are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


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
) -> Image:  # fmt: skip
    if image.shape[:2] != size:
        return np.asarray(cv2.resize(image, size[::-1], dst=out, interpolation=interpolation), dtype=np.uint8)
    if out is None:
        return image
    out[:] = image
    return out


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
