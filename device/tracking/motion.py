"""Motion detection, so that a board that watches a still scene can run at a lower frame rate."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.image import Image

# Rows and columns of tiles in a frame, and pixels along each side of a tile that are averaged.
TILE_GRID, POINTS_PER_TILE = (24, 32), 4

# Gray levels by which a tile must change. Sensor noise of 10 levels, as at night, changes the mean of a tile by 2.5.
MIN_TILE_CHANGE = 12

# Fraction of the tiles that must change.
MIN_CHANGED_FRACTION = 0.01

# Weight of the newest frame in the background, so that changing daylight is not motion.
BACKGROUND_LEARNING_RATE = 0.1


class MotionDetector:
    """Compares the tiles of each frame with their running average."""

    def __init__(self) -> None:
        self.background: NDArray[np.float32] | None = None

    def update(self, image: Image) -> bool:
        """Add an RGB frame (H, W, 3); returns whether something moved, as it does in the first frame of each size."""
        height, width = image.shape[:2]
        step = max(1, height // (TILE_GRID[0] * POINTS_PER_TILE)), max(1, width // (TILE_GRID[1] * POINTS_PER_TILE))
        points = image[:: step[0], :: step[1], 1]
        rows, columns = (max(1, length // POINTS_PER_TILE) for length in points.shape)
        means = cv2.resize(points, (columns, rows), interpolation=cv2.INTER_AREA)
        tiles = np.asarray(means, dtype=np.float32).reshape(rows, columns)
        if self.background is None or self.background.shape != tiles.shape:
            self.background = tiles
            return True
        change = tiles - self.background
        self.background += BACKGROUND_LEARNING_RATE * change
        return bool(np.count_nonzero(np.abs(change) > MIN_TILE_CHANGE) > MIN_CHANGED_FRACTION * change.size)
