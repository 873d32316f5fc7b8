"""Images, and the only code that changes their geometry before a model sees them.

Training, calibration, scoring and the board all call these functions, so a model meets the same pixels everywhere.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write

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


JPEG_QUALITY = 95  # of a JPEG; below about 90 its blocks show, and a detector learns them


def write_jpeg(path: Path, image: Image) -> None:
    """Write an RGB image (H, W, 3) as a JPEG. Raises DataError."""
    try:
        _, data = cv2.imencode(".jpg", to_rgb(image), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    except cv2.error as error:
        raise DataError(f"{path} cannot be a JPEG of {image.shape[1]}x{image.shape[0]} pixels") from error
    atomic_write(path, data.tobytes())
