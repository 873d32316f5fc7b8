"""Detection of a frozen camera: the images of a sensor always differ, if only by noise."""

from __future__ import annotations

import numpy as np

from pocketsight.device.vision.pixels import Content, fingerprint, reduced_image, sample_pixels

FREEZE_TIMEOUT = 10.0  # seconds without a change after which a sensor of this machine counts as frozen
# Seconds between timestamps that count as the same: they are converted from another clock by a subtraction.
TIMESTAMP_TOLERANCE = 1e-4
# Levels between the darkest and the brightest pixel of a covered lens or of night, where images can be identical.
FLAT_RANGE = 6


class FreezeDetector:
    """Measures for how long the image, or its timestamp, has not changed."""

    def __init__(self) -> None:
        self.sample, self.timestamp = b"", -1.0
        self.content: Content | None = None  # of the frame that changed last
        self.unchanged_since, self.repeats = 0.0, 0  # time of the last change, and repetitions since

    def update(self, content: Content, timestamp: float | None, now: float) -> bool:
        """Whether this frame, or its timestamp in seconds, is the same as before."""
        sample = fingerprint(content)
        if sample == self.sample or (timestamp is not None and abs(timestamp - self.timestamp) < TIMESTAMP_TOLERANCE):
            self.repeats += 1
            return True
        self.sample, self.content, self.unchanged_since, self.repeats = sample, content, now, 0
        self.timestamp = -1.0 if timestamp is None else timestamp
        return False

    def reset(self, now: float) -> None:
        """Count from now: the camera was opened again."""
        self.unchanged_since, self.repeats = now, 0

    def is_flat(self) -> bool:
        """Whether the image shows next to nothing."""
        return self.content is not None and level_range(self.content) <= FLAT_RANGE


def level_range(content: Content) -> int:
    """The difference between the brightest and the darkest level of a sample of a frame, 0..255."""
    return int(np.ptp(np.frombuffer(sample_pixels(reduced_image(content, 8)), np.uint8)))
