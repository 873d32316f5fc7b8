"""Whether a camera still sees: a sensor's pictures always differ, if only by noise."""

from __future__ import annotations

import numpy as np

from pocketsight.device.vision.image import Image

FREEZE_TIMEOUT = 10.0  # seconds of the same picture after which a sensor of this machine counts as frozen
SAMPLE_GRID = 32  # rows and columns that are looked at: 5 microseconds a frame, and noise is in every one of them
TIMESTAMP_TOLERANCE = 1e-4  # seconds between two stamps that are one: they come from another clock, by a subtraction
FLAT_RANGE = (
    6  # levels between the darkest and the brightest: a covered lens, or night; there, pictures can be the same
)


def sample_pixels(image: Image) -> bytes:
    """A sparse sample of the pixels, to compare."""
    height, width = image.shape[:2]
    return image[:: max(1, height // SAMPLE_GRID), :: max(1, width // SAMPLE_GRID)].tobytes()


class FreezeDetector:
    """How long the picture, or the camera's own stamp on it, has been the same."""

    def __init__(self) -> None:
        self.sample, self.timestamp = b"", -1.0
        self.unchanged_since, self.repeats = 0.0, 0  # when it was new, and how often it came again

    def update(self, image: Image, timestamp: float | None, now: float) -> bool:
        """Whether this picture is the one before, by its pixels or by the camera's stamp, in seconds."""
        sample = sample_pixels(image)
        if sample == self.sample or (timestamp is not None and abs(timestamp - self.timestamp) < TIMESTAMP_TOLERANCE):
            self.repeats += 1
            return True
        self.sample, self.unchanged_since, self.repeats = sample, now, 0
        self.timestamp = -1.0 if timestamp is None else timestamp
        return False

    def reset(self, now: float) -> None:
        """The camera was opened again: count from here."""
        self.unchanged_since, self.repeats = now, 0

    def is_flat(self) -> bool:
        """Whether there is next to nothing to see."""
        levels = np.frombuffer(self.sample, np.uint8)
        return levels.size > 0 and int(np.ptp(levels)) <= FLAT_RANGE
