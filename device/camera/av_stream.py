"""Videos and network streams through PyAV, where it is installed.

Unlike OpenCV it reads interlaced video, mirror matrices and pixels that are not square, and it scales before it
converts to RGB. JPEG frames are passed on as they are, for decoding at a fraction of their size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import atan2, degrees
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.camera.timeline import believable_fps
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.pixels import Pixels, jpeg_pixels
from pocketsight.device.vision.turn import UPRIGHT, Turn
from pocketsight.device.vision.yuv import can_reduce, reduce_yuv420

PLANAR_FORMATS = "yuv420p", "yuvj420p"  # 8 bits, color at half the size: nearly all videos
FULL_RANGE = 2  # AVCOL_RANGE_JPEG: black is 0, not 16
MAX_ASPECT = 4.0  # width of a pixel divided by its height, or the reverse; larger ones are errors of a file
MAX_GUESSED_FPS = 60  # a higher guess is that of irregular time stamps
SAMPLES = 4096  # bytes that are compared between frames
MATRIX = struct.Struct("=9i")  # display matrix: a b u c d v x y w


@cache
def import_av() -> Any:
    """The module of PyAV; None where it is not installed or does not load."""
    try:
        import av
        import av.filter

        return av
    except Exception:  # not installed, or built for other libraries
        return None


@contextmanager
def open_av(address: str, options: dict[str, str], timeout: float | None = None) -> Iterator[AvStream]:
    """Open the first video stream of a file or address. `timeout` is in seconds; with it the stream is live.

    Raises OSError or ValueError when it cannot be opened; their text may hold a password.
    """
    av = import_av()
    with av.open(address, options=options, timeout=timeout) as container:
        if not container.streams.video:
            raise ValueError("it contains no video")
        yield AvStream(container, container.streams.video[0], live=timeout is not None)


class AvStream:
    """The frames of an open stream."""

    def __init__(self, container: Any, stream: Any, live: bool) -> None:
        self.container, self.stream = container, stream
        stream.thread_type = "SLICE" if live else "AUTO"  # threads by frame would delay a live stream
        guessed = getattr(stream, "guessed_rate", None)  # of the smallest step; the average hides it
        self.fps = believable_fps(guessed if guessed and guessed <= MAX_GUESSED_FPS else None, stream.average_rate)
        self.frame_count = stream.frames if self.fps else 0
        self.aspect = _pixel_aspect(stream)
        self.deinterlacer: Any = None
        self.start_time = stream.start_time or 0
        self.turn = UPRIGHT

    def frames(self) -> Iterator[tuple[Pixels, float | None]]:
        """The frames, each with its time stamp in seconds from the start of the stream, or None without one."""
        is_jpeg = self.stream.codec_context.name == "mjpeg" and self.aspect == 1
        for packet in self.container.demux(self.stream):
            if is_jpeg and packet.size:
                pixels = jpeg_pixels(bytes(packet))
                if sorted(pixels.size) == sorted((self.stream.codec_context.height, self.stream.codec_context.width)):
                    yield pixels, self._seconds(packet.pts, packet.time_base)
                    continue
            for frame in self._decode(packet):
                yield self._to_pixels(frame), self._seconds(frame.pts, frame.time_base)

    def _seconds(self, pts: int | None, time_base: Any) -> float | None:
        if pts is None or not time_base:
            return None
        return float(pts * time_base - self.start_time * self.stream.time_base)

    def _decode(self, packet: Any) -> Iterator[Any]:
        """The frames of a packet, deinterlaced from the first interlaced one on."""
        av = import_av()
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:  # a damaged packet; the decoder continues with the next one
            frames = []
        for frame in frames:
            if self.deinterlacer is None and frame.interlaced_frame:
                self.deinterlacer = _make_deinterlacer(self.stream)
            if self.deinterlacer is None:
                yield frame
                continue
            self.deinterlacer.push(frame)
            yield from self._pull()
        if packet.size == 0 and self.deinterlacer is not None:  # the end
            self.deinterlacer.push(None)
            yield from self._pull()

    def _pull(self) -> Iterator[Any]:
        while True:
            try:
                yield self.deinterlacer.pull()
            except (BlockingIOError, EOFError):  # it needs another frame, or there are no more
                return

    def _to_pixels(self, frame: Any) -> Pixels:
        height, width = frame.height, round(frame.width * self.aspect)
        if self.aspect < 1:
            height, width = round(frame.height / self.aspect), frame.width

        def decode(reduction: int) -> Image:
            if self.aspect == 1 and can_reduce(height, width, reduction) and frame.format.name in PLANAR_FORMATS:
                is_full_range = frame.format.name == "yuvj420p" or frame.color_range == FULL_RANGE
                luma, blue, red = map(_plane, frame.planes)
                return reduce_yuv420(luma, blue, red, reduction, is_full_range)
            size = {"width": -(-width // reduction), "height": -(-height // reduction)}
            return np.asarray(frame.reformat(**size, format="rgb24", interpolation="AREA").to_ndarray(), np.uint8)

        def fingerprint() -> bytes:
            luma = np.frombuffer(frame.planes[0], np.uint8)
            return luma[:: max(1, luma.size // SAMPLES) | 1].tobytes()

        # PyAV keeps a frame whose side data were read until the garbage collector finds it, and allocates new memory.
        if frame.key_frame:
            self.turn = _display_turn(frame)
        return Pixels((height, width), decode, fingerprint=fingerprint).turned(self.turn)


def _plane(plane: Any) -> NDArray[np.uint8]:
    """The pixels (H, W) of a plane, which are not copied."""
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def _pixel_aspect(stream: Any) -> float:
    """The width of a pixel divided by its height."""
    aspect = float(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
    return aspect if 1 / MAX_ASPECT <= aspect <= MAX_ASPECT else 1.0


def _make_deinterlacer(stream: Any) -> Any:
    """A filter that deinterlaces the frames that are marked as interlaced."""
    graph = import_av().filter.Graph()
    source, sink = graph.add_buffer(template=stream), graph.add("buffersink")
    yadif = graph.add("yadif", "mode=0:parity=-1:deint=1")
    source.link_to(yadif)
    yadif.link_to(sink)
    graph.configure()
    return graph


def _display_turn(frame: Any) -> Turn:
    """The turn that the display matrix of a frame asks for."""
    data = frame.side_data.get("DISPLAYMATRIX")
    return matrix_turn(*MATRIX.unpack(bytes(data)[: MATRIX.size])) if data else UPRIGHT


def matrix_turn(a: int, b: int, u: int, c: int, d: int, *rest: int) -> Turn:
    """The turn of a display matrix, which maps x, y to a x + c y, b x + d y."""
    is_mirrored = a * d - b * c < 0
    angle = round(degrees(atan2(b, -a if is_mirrored else a)) / 90) * 90 % 360
    return Turn(angle, is_mirrored)
