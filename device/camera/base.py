"""What every source gives: frames."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from pocketsight.device.vision.image import Image

POLL_INTERVAL = 0.25  # seconds: how long the loops wait before they look whether they shall stop


@dataclass(frozen=True)
class Frame:
    """One picture and when it came."""

    image: Image  # (H, W, 3) RGB
    index: int  # counts from 0, dropped frames included
    captured_at: float  # seconds since the epoch
    source: str | None = None  # the file, where frames are pictures
    captured_monotonic: float = field(
        default_factory=time.monotonic
    )  # monotonic seconds when it was exposed, or else arrived


class Camera:
    """Gives frames until the source ends or its `stop` is set; this one has all the time they take."""

    live = False  # whether frames come by themselves and are lost when nobody looks
    fps = 10.0  # of a video made from these frames
    frame_count: int | None = None  # frames, where they are known beforehand
    dropped = 0  # frames that came while another was worked on
    counts_drops = True  # set to False by whoever waits on purpose: what is not taken then is not dropped
    has_timestamps = False  # whether `born` is when a frame was exposed, and not only when it arrived
    ended = False

    def __init__(self, frames: Iterator[Frame], name: str = "the source") -> None:
        self.frames, self.name = frames, name

    def read(self, timeout: float) -> Frame | None:
        """The newest frame of a live camera, the next one of others; None when none came in `timeout` seconds.

        Raises CameraError when it stopped giving frames.
        """
        frame = next(self.frames, None)
        self.ended = frame is None
        return frame

    def __iter__(self) -> Iterator[Frame]:
        while not self.ended:
            if (frame := self.read(POLL_INTERVAL)) is not None:
                yield frame
