"""Frame and Camera: what every source gives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from pocketsight.device.vision.image import Image

POLL_INTERVAL = 0.25  # seconds: loops that wait check at this interval whether they must stop


@dataclass(frozen=True)
class Frame:
    """One image and when it was captured."""

    image: Image  # (H, W, 3) RGB, uint8
    index: int  # counts from 0, dropped frames included
    captured_at: float  # seconds since the epoch
    source: str | None = None  # path of the file, for sources that are images
    # Monotonic seconds of the exposure, or of the arrival where the camera has no timestamps.
    captured_monotonic: float = field(default_factory=time.monotonic)


class Camera:
    """A source of frames. Iterate over it, or call `read` in a loop, until the source ends.

    This class reads files: it returns every frame, one by one. `LiveCamera` returns the newest one.
    """

    live = False  # whether frames arrive at their own rate, and are dropped when nobody reads them
    fps = 10.0  # frame rate of a video made from these frames
    frame_count: int | None = None  # number of frames, if known in advance
    dropped = 0  # frames that arrived while the reader was busy
    counts_drops = True  # the reader sets this to False while it waits on purpose
    has_timestamps = False  # whether frames have the time of their exposure, not only of their arrival
    ended = False

    def __init__(self, frames: Iterator[Frame], name: str = "the source") -> None:
        self.frames, self.name = frames, name

    def read(self, timeout: float) -> Frame | None:
        """The next frame, or the newest one of a live camera; None if none arrives within `timeout` seconds.

        Raises CameraError when the camera stops giving frames.
        """
        frame = next(self.frames, None)
        self.ended = frame is None
        return frame

    def __iter__(self) -> Iterator[Frame]:
        while not self.ended:
            if (frame := self.read(POLL_INTERVAL)) is not None:
                yield frame
