"""Whether anything moves, so that a board that watches an empty room can rest."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.image import Image

TILE_GRID, POINTS_PER_TILE = (24, 32), 4  # rows and columns of the frame; of each so many squared points are averaged
MIN_TILE_CHANGE = (
    12  # grey levels by which a tile must change: noise of 10 levels, a cheap camera at night, moves its mean by 2.5
)
MIN_CHANGED_FRACTION = 0.01  # of the tiles
BACKGROUND_LEARNING_RATE = (
    0.1  # share of the newest frame in what is compared with, so that daylight's change is no movement
)


class MotionDetector:
    """Compares the tiles of each frame with their average over those before."""

    def __init__(self) -> None:
        self.background: NDArray[np.float32] | None = None

    def update(self, image: Image) -> bool:
        """Whether this frame differs from what is usual; the first does, and one of another size."""
        height, width = image.shape[:2]
        step = max(1, height // (TILE_GRID[0] * POINTS_PER_TILE)), max(1, width // (TILE_GRID[1] * POINTS_PER_TILE))
        points = image[:: step[0], :: step[1], 1]
        rows, columns = (max(1, length // POINTS_PER_TILE) for length in points.shape)
        means = cv2.resize(points, (columns, rows), interpolation=cv2.INTER_AREA)
        sample = np.asarray(means, dtype=np.float32).reshape(rows, columns)
        if self.background is None or self.background.shape != sample.shape:
            self.background = sample
            return True
        change = sample - self.background
        self.background += BACKGROUND_LEARNING_RATE * change
        return bool(np.count_nonzero(np.abs(change) > MIN_TILE_CHANGE) > MIN_CHANGED_FRACTION * change.size)
