"""Detection of a frozen camera: the images of a sensor always differ, if only by noise."""

from __future__ import annotations

import numpy as np

from pocketsight.device.vision.image import Image

FREEZE_TIMEOUT = 10.0  # seconds without a change after which a sensor of this machine counts as frozen
SAMPLE_GRID = 32  # rows and columns that are compared: 5 microseconds per frame, and each of them has noise
# Seconds between timestamps that count as the same: they are converted from another clock by a subtraction.
TIMESTAMP_TOLERANCE = 1e-4
# Levels between the darkest and the brightest pixel of a covered lens or of night, where images can be identical.
FLAT_RANGE = 6


def sample_pixels(image: Image) -> bytes:
    """A sparse sample of the pixels of an image (H, W, 3), to compare it with others."""
    height, width = image.shape[:2]
    return image[:: max(1, height // SAMPLE_GRID), :: max(1, width // SAMPLE_GRID)].tobytes()


class FreezeDetector:
    """Measures for how long the image, or its timestamp, has not changed."""

    def __init__(self) -> None:
        self.sample, self.timestamp = b"", -1.0
        self.unchanged_since, self.repeats = 0.0, 0  # time of the last change, and repetitions since

    def update(self, image: Image, timestamp: float | None, now: float) -> bool:
        """Whether this image, or its timestamp in seconds, is the same as before."""
        sample = sample_pixels(image)
        if sample == self.sample or (timestamp is not None and abs(timestamp - self.timestamp) < TIMESTAMP_TOLERANCE):
            self.repeats += 1
            return True
        self.sample, self.unchanged_since, self.repeats = sample, now, 0
        self.timestamp = -1.0 if timestamp is None else timestamp
        return False

    def reset(self, now: float) -> None:
        """Count from now: the camera was opened again."""
        self.unchanged_since, self.repeats = now, 0

    def is_flat(self) -> bool:
        """Whether the image shows next to nothing."""
        levels = np.frombuffer(self.sample, np.uint8)
        return levels.size > 0 and int(np.ptp(levels)) <= FLAT_RANGE
