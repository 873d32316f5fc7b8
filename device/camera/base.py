"""Frame and Camera: what every source gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from pocketsight.device.inference.sensor import SensorOutputs
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.pixels import Content, Pixels, frame_size, reduced_image
from pocketsight.device.vision.turn import UPRIGHT, Turn

POLL_INTERVAL = 0.25  # seconds: loops that wait check at this interval whether they must stop


@dataclass(frozen=True)
class Frame:
    """One image and when it was captured."""

    content: Content
    index: int  # counts from 0, dropped frames included
    captured_at: float  # seconds since the epoch
    source: str | None = None  # path of the file, for sources that are images
    # Monotonic seconds of the exposure, or of the arrival where the camera has no timestamps.
    captured_monotonic: float = field(default_factory=time.monotonic)
    position: float | None = None  # seconds from the beginning of the recording, for sources that are videos
    sensor: SensorOutputs | None = None  # of a camera that runs the detector itself; never together with a turn

    @property
    def image(self) -> Image:
        """The whole image, (H, W, 3) RGB, uint8."""
        return self.reduced(1)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole image."""
        return frame_size(self.content)

    @property
    def decode_ms(self) -> float:
        """Milliseconds spent so far on decoding."""
        return self.content.decode_ms if isinstance(self.content, Pixels) else 0.0

    def reduced(self, reduction: int) -> Image:
        """The image with its sides divided by at most `reduction`, which costs less to decode."""
        return reduced_image(self.content, reduction)

    def turned(self, turn: Turn) -> Frame:
        """The frame with its image turned."""
        if turn == UPRIGHT:
            return self
        content = self.content.turned(turn) if isinstance(self.content, Pixels) else turn.apply(self.content)
        return replace(self, content=content)


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
    turn = UPRIGHT  # of every frame
    # At which reduction the reader needs frames of a size (height, width); None: whole
    choose_reduction: Callable[[tuple[int, int]], int] | None = None
    ended = False

    def __init__(self, frames: Iterator[Frame], name: str = "the source") -> None:
        self.frames, self.name = frames, name

    def read(self, timeout: float) -> Frame | None:
        """The next frame, or the newest one of a live camera; None if none arrives within `timeout` seconds.

        Raises CameraError when the camera stops giving frames.
        """
        frame = next(self.frames, None)
        self.ended = frame is None
        return frame and frame.turned(self.turn)

    def __iter__(self) -> Iterator[Frame]:
        while not self.ended:
            if (frame := self.read(POLL_INTERVAL)) is not None:
                yield frame
