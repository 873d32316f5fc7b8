"""RGB images: reading, listing and writing files.

Images are resized, letterboxed and cropped only by resize.py, letterbox.py and crop.py. Training, calibration,
evaluation and the board all call these, so that a model gets the same pixels everywhere.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.vision.image_kinds import (
    NOT_OPENCV_SUFFIXES,
    decode_with_pillow,
    list_by_suffix,
    readable_suffixes,
)

Image = NDArray[np.uint8]
"""(height, width, 3), RGB, 0..255."""

REDUCED_JPEG = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def read_image(path: Path, jpeg_reduction: int = 1) -> Image:
    """Read an image file as RGB (H, W, 3) uint8, rotated as its EXIF entry says.

    A JPEG is decoded at 1 / `jpeg_reduction` (1, 2, 4 or 8) of its height and width, rounded up, which is faster.
    Raises DataError when the file cannot be read, is not an image or is a truncated JPEG.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if path.suffix.lower() in NOT_OPENCV_SUFFIXES or data[4:8] == b"ftyp":  # HEIC, AVIF
        return decode_with_pillow(data, path)
    is_jpeg = data[:2] == b"\xff\xd8"
    if is_jpeg and b"\xff\xd9" not in data:  # OpenCV would fill the rest with gray
        raise DataError(f"{path}: truncated JPEG; copy or download it again")
    try:
        flags = REDUCED_JPEG[jpeg_reduction if is_jpeg else 1]
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:  # its header claims a size that OpenCV refuses
        image = None
    if image is None:
        raise DataError(f"{path} is not an image that OpenCV can read")
    return to_rgb(np.asarray(image, dtype=np.uint8))


def to_rgb(image: NDArray[np.uint8]) -> Image:
    """Swap the first and third channel of (H, W, 3): BGR, as OpenCV uses it, becomes RGB, and RGB becomes BGR."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def list_images(folder: Path) -> list[Path]:
    """The images that can be read in a folder and its subfolders, sorted by path. Hidden files and folders are skipped.

    `list_unread_images` finds those of other kinds.
    """
    return list_by_suffix(folder, readable_suffixes())


# Below a quality of about 90 the blocks of a JPEG become visible, and a detector learns them.
JPEG_QUALITY = 95


def encode_jpeg(image: Image, quality: int = JPEG_QUALITY) -> bytes:
    """Encode an RGB image (H, W, 3), uint8, as JPEG; `quality` is 0..100. Raises DataError for an empty image."""
    try:
        _, data = cv2.imencode(".jpg", to_rgb(image), [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise DataError(f"an image of {image.shape[1]}x{image.shape[0]} pixels cannot be a JPEG") from error
    return data.tobytes()


def write_jpeg(path: Path, image: Image) -> None:
    """Write an RGB image (H, W, 3), uint8, as JPEG. Raises DataError for an empty image or when the disk refuses it."""
    atomic_write(path, encode_jpeg(image))


def write_png(path: Path, image: Image) -> None:
    """Write an RGB image (H, W, 3), uint8, as PNG, whatever the suffix of `path`. Raises DataError."""
    _, data = cv2.imencode(".png", to_rgb(image))
    atomic_write(path, data.tobytes())
