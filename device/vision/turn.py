"""Turning images upright: by quarter turns, and mirrored."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pocketsight.device.vision.image import Image

ROTATE_CODES = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True)
class Turn:
    """A rotation by `degrees` clockwise (0, 90, 180 or 270), then with `mirror` a swap of left and right."""

    degrees: int = 0
    mirror: bool = False

    @property
    def swaps_sides(self) -> bool:
        """Whether height and width change places."""
        return self.degrees % 180 == 90

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) of a turned image of `size`."""
        return (size[1], size[0]) if self.swaps_sides else size

    def apply(self, image: Image) -> Image:
        """The turned image; the image itself where there is nothing to turn."""
        if self.mirror and self.degrees == 180:
            return np.asarray(cv2.flip(image, 0), np.uint8)
        if self.degrees:
            image = np.asarray(cv2.rotate(image, ROTATE_CODES[self.degrees]), np.uint8)
        return np.asarray(cv2.flip(image, 1), np.uint8) if self.mirror else image


UPRIGHT = Turn()
