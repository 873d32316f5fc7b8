"""One image of a detection data set and its boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.errors import DataError
from pocketsight.device.vision.boxes import Boxes
from pocketsight.device.vision.image import Image, read_image

Kinds = NDArray[np.signedinteger[Any]]
"""(N,): the kind of each box, a number from 0: the index of its label."""

NO_BOXES = np.empty((0, 4), np.float32)


@dataclass(frozen=True)
class DetectionSample:
    """One image and its boxes, in px of the upright image."""

    path: Path
    boxes: Boxes  # (N, 4)
    ignored_boxes: Boxes = field(default_factory=lambda: NO_BOXES)  # (M, 4), neither object nor background
    group: str = ""  # images of one group are never split between training and validation
    size: tuple[int, int] | None = None  # height, width of the image when it was labeled
    source: str = ""  # its collection, folder or capture session
    mask_states: tuple[int, ...] = ()  # for each box: 1 with a mask, 0 without, -1 unknown
    kinds: tuple[int, ...] = ()  # of each box, the index of its label in the data set; (): all are of the first
    number: int = field(default=-1, compare=False)  # of the image in its SampleTable; -1: in none

    @property
    def kind_array(self) -> Kinds:
        """(N,): the kind of each box."""
        return np.array(self.kinds or (0,) * len(self.boxes), np.int16)

    def read(self, jpeg_reduction: int = 1) -> Image:
        """The image (H, W, 3), a JPEG smaller by the given factor (`read_image`).

        Raises DataError when it cannot be read or has another size than its labels.
        """
        image = read_image(self.path, jpeg_reduction)
        if self.size and image.shape[:2] not in (self.size, reduced_size(self.size, jpeg_reduction)):
            image = read_image(self.path)
            actual, labeled = (f"{width}x{height}" for height, width in (image.shape[:2], self.size))
            raise DataError(
                f"{self.path} is {actual}, but its labels are for {labeled}; was it resized, or "
                "rotated? `pocketsight data import` puts sizes before an EXIF rotation right"
            )
        return image


def reduced_size(size: tuple[int, int], reduction: int) -> tuple[int, int]:
    """Height and width divided by a factor, rounded up."""
    return -(-size[0] // reduction), -(-size[1] // reduction)


def default_source(path: Path) -> str:
    """The source of an image without one in its file: its folder, or its capture session."""
    return path.parent.name if path.parent.name != "images" else parse_session_name(path.name) or ""
