"""Whether anything moves, so that a board that watches an empty room can rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.device.image import Image

POINTS = 48, 64  # looked at in each frame, rows and columns
STEP = 24  # grey levels by which a point must change; sensor noise of a dark room stays below
SHARE = 0.01  # of the points
SLOW = 0.1  # share of the newest frame in what is compared with, so that daylight's change is no movement


class Movement:
    """Compares a sparse sample of each frame with an average of those before."""

    def __init__(self) -> None:
        self.usual: NDArray[np.float32] | None = None

    def moved(self, image: Image) -> bool:
        """Whether this frame differs from what is usual; the first does, and one of another size."""
        height, width = image.shape[:2]
        sample = image[:: max(1, height // POINTS[0]), :: max(1, width // POINTS[1]), 1].astype(np.float32)
        if self.usual is None or self.usual.shape != sample.shape:
            self.usual = sample
            return True
        change = sample - self.usual
        self.usual += SLOW * change
        return bool(np.count_nonzero(np.abs(change) > STEP) > SHARE * change.size)
