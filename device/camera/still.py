"""Whether a camera still sees: a sensor's pictures always differ, if only by noise."""

from __future__ import annotations

import numpy as np

from pocketsight.device.image import Image

STILL = 10.0  # seconds of the same picture after which a sensor of this machine counts as frozen
GRID = 32  # rows and columns that are looked at: 5 microseconds a frame, and noise is in every one of them
SAME = 1e-4  # seconds between two stamps that are one: they come from another clock, by a subtraction
FLAT = 6  # levels between the darkest and the brightest: a covered lens, or night; there, pictures can be the same


def sampled(image: Image) -> bytes:
    """A sparse sample of the pixels, to compare."""
    height, width = image.shape[:2]
    return image[:: max(1, height // GRID), :: max(1, width // GRID)].tobytes()


class Still:
    """How long the picture, or the camera's own stamp on it, has been the same."""

    def __init__(self) -> None:
        self.sample, self.stamp = b"", -1.0
        self.since, self.times = 0.0, 0  # when it was new, and how often it came again

    def saw(self, image: Image, stamp: float | None, now: float) -> bool:
        """Whether this picture is the one before, by its pixels or by the camera's stamp, in seconds."""
        sample = sampled(image)
        if sample == self.sample or (stamp is not None and abs(stamp - self.stamp) < SAME):
            self.times += 1
            return True
        self.sample, self.since, self.times = sample, now, 0
        self.stamp = -1.0 if stamp is None else stamp
        return False

    def again(self, now: float) -> None:
        """The camera was opened again: count from here."""
        self.since, self.times = now, 0

    def flat(self) -> bool:
        """Whether there is next to nothing to see."""
        levels = np.frombuffer(self.sample, np.uint8)
        return levels.size > 0 and int(np.ptp(levels)) <= FLAT
