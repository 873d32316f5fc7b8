"""JPEG data: its size without decoding it, and decoding at a fraction of its size."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from pocketsight.device.vision.image import REDUCED_JPEG, Image, to_rgb

# Markers of a frame header (SOF): C4, C8 and CC mean other things.
FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
MARKERS_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
ORIENTATION_TAG = 0x0112
TURNED_ORIENTATIONS = range(5, 9)  # EXIF orientations that swap height and width
PADDING = 4096  # bytes that a camera may add after the end of an image


def parse_jpeg_header(data: bytes) -> tuple[int, int] | None:
    """The (height, width) of the upright image; None where the data are no JPEG."""
    if data[:2] != b"\xff\xd8":
        return None
    position, orientation = 2, 1
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF or marker in MARKERS_WITHOUT_LENGTH:  # a fill byte, or a marker alone
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in FRAME_HEADERS and position + 9 <= len(data):
            height, width = struct.unpack_from(">HH", data, position + 5)
            if not (height and width):
                return None
            return (width, height) if orientation in TURNED_ORIENTATIONS else (height, width)
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            orientation = _parse_orientation(data[position + 10 : position + 2 + length])
        position += 2 + length
    return None


def _parse_orientation(tiff: bytes) -> int:
    """The orientation, 1 to 8, in the TIFF structure of an EXIF entry; 1 where there is none."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for offset in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, offset)
        if tag == ORIENTATION_TAG:
            return int(value) if 1 <= value <= 8 else 1
    return 1


def is_complete_jpeg(data: bytes) -> bool:
    """Whether the data end like a JPEG: decoders fill the rest of a truncated one with gray."""
    return data.rfind(b"\xff\xd9", max(0, len(data) - PADDING)) >= 0


def decode_jpeg(data: bytes, reduction: int = 1) -> Image | None:
    """The upright RGB image (H, W, 3) with its sides divided by `reduction` (1, 2, 4 or 8), rounded up.

    libjpeg leaves out what a smaller image does not show. None where the data cannot be decoded.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED_JPEG[reduction])
    except cv2.error:  # its header claims a size that OpenCV refuses
        return None
    return None if image is None else to_rgb(np.asarray(image, np.uint8))
