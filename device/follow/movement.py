"""Whether anything moves, so that a board that watches an empty room can rest."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.image import Image

TILES, EACH = (24, 32), 4  # rows and columns of the frame; of each so many squared points are averaged
STEP = 12  # grey levels by which a tile must change: noise of 10 levels, a cheap camera at night, moves its mean by 2.5
SHARE = 0.01  # of the tiles
SLOW = 0.1  # share of the newest frame in what is compared with, so that daylight's change is no movement


class Movement:
    """Compares the tiles of each frame with their average over those before."""

    def __init__(self) -> None:
        self.usual: NDArray[np.float32] | None = None

    def moved(self, image: Image) -> bool:
        """Whether this frame differs from what is usual; the first does, and one of another size."""
        height, width = image.shape[:2]
        step = max(1, height // (TILES[0] * EACH)), max(1, width // (TILES[1] * EACH))
        points = image[:: step[0], :: step[1], 1]
        rows, columns = (max(1, length // EACH) for length in points.shape)
        means = cv2.resize(points, (columns, rows), interpolation=cv2.INTER_AREA)
        sample = np.asarray(means, dtype=np.float32).reshape(rows, columns)
        if self.usual is None or self.usual.shape != sample.shape:
            self.usual = sample
            return True
        change = sample - self.usual
        self.usual += SLOW * change
        return bool(np.count_nonzero(np.abs(change) > STEP) > SHARE * change.size)
