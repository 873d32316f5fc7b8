"""Cameras of this machine that OpenCV reads: V4L2, that is USB and others.

They are asked for raw images, so that a frame that is dropped is never decoded.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.camera.capture_thread import CameraSource, CaptureDevice, RawFrame
from pocketsight.device.camera.devices import describe_holders, stable_path
from pocketsight.device.camera.freeze_detector import FREEZE_TIMEOUT
from pocketsight.device.camera.options import DEFAULT_OPTIONS, CameraOptions
from pocketsight.device.camera.v4l2 import list_formats, set_controls
from pocketsight.device.errors import CameraError
from pocketsight.device.vision.image import to_rgb
from pocketsight.device.vision.pixels import Content, jpeg_pixels, raw_pixels
from pocketsight.device.vision.yuv import decode_nv12, decode_yuyv

BUFFER_COUNT = 2  # V4L2 buffers: one is filled while the other is read; with a single one every second frame is lost
MAX_TIMESTAMP_AGE = 5.0  # seconds: if the timestamp of the first frame is older, it is from another clock
MAX_RAW_PIXELS = 640 * 480  # of raw images; larger ones come slowly over USB 2, so JPEG is requested


def local_camera_source(source: str, size: tuple[int, int], options: CameraOptions = DEFAULT_OPTIONS) -> CameraSource:
    """The camera with a number or a device path; `size` (height, width) is requested from it."""
    path = Path(f"/dev/video{source}" if source.isdecimal() else source)
    lasting_path = stable_path(path)
    return CameraSource(
        f"camera {source!r}",
        lambda: _open_local(source, lasting_path, size, options),
        freeze_timeout=FREEZE_TIMEOUT,
        turn=options.turn,
    )


@contextmanager
def _open_local(source: str, path: Path, size: tuple[int, int], options: CameraOptions) -> Iterator[CaptureDevice]:
    if sys.platform == "linux":
        _check_access(source, path)
        capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    else:
        capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
    try:
        if not capture.isOpened():
            reason = describe_holders(path)
            line = f"camera {source!r} cannot be opened{reason and f', {reason}'}"
            raise CameraError(f"{line}; is it a camera? see: pocketsight camera list")
        set_controls(path, options.controls)
        _request_format(capture, path, size, options)
        timestamp = monotonic_timestamps(lambda: capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        yield CaptureDevice(_make_reader(capture, timestamp), _read_fps(capture))
    finally:
        capture.release()


def _request_format(capture: cv2.VideoCapture, path: Path, size: tuple[int, int], options: CameraOptions) -> None:
    """Ask for a format, a size and a rate. Raises CameraError when the camera does not have the named format."""
    wanted = options.pixel_format and options.pixel_format.upper()
    if wanted or size[0] * size[1] > MAX_RAW_PIXELS:
        _set_format(capture, wanted or "MJPG")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, BUFFER_COUNT)
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
    if options.frame_rate:
        capture.set(cv2.CAP_PROP_FPS, options.frame_rate)
    if wanted and (given := _read_format(capture)) != wanted:
        has = ", ".join(list_formats(path)) or given
        raise CameraError(f"{path} does not give {wanted} at {size[1]}x{size[0]} pixels; it has {has}")
    if not wanted and not capture.grab():  # the USB hub has no bandwidth for raw images
        _set_format(capture, "MJPG")
    if _read_format(capture) in DECODERS:
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)


def _set_format(capture: cv2.VideoCapture, fourcc: str) -> None:
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*f"{fourcc:4.4}"))


def _read_format(capture: cv2.VideoCapture) -> str:
    return (int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little").decode(errors="replace")


def _check_access(source: str, path: Path) -> None:
    if not path.exists():
        raise CameraError(f"no camera {source!r}; is it plugged in? see: pocketsight camera list")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CameraError(f"no permission to open {path}; sudo usermod -aG video $USER, then log in again")


def monotonic_timestamps(clock: Callable[[], float]) -> Callable[[], float | None]:
    """A function that returns the time of each exposure by the clock of the driver, or None if it is not monotonic."""
    trusted: bool | None = None

    def stamp() -> float | None:
        nonlocal trusted
        now, captured = time.monotonic(), clock()
        if trusted is None:
            trusted = 0 <= now - captured < MAX_TIMESTAMP_AGE
        return min(captured, now) if trusted else None

    return stamp


def _make_reader(capture: cv2.VideoCapture, timestamp: Callable[[], float | None]) -> Callable[[], RawFrame | None]:
    """A function that returns the next frame: raw where we can decode it, else converted by OpenCV."""
    is_raw = not capture.get(cv2.CAP_PROP_CONVERT_RGB)
    to_content = DECODERS[_read_format(capture)] if is_raw else _convert

    def read() -> RawFrame | None:
        if not capture.grab():
            return None
        captured = timestamp()
        good, data = capture.retrieve()  # a copy, which nothing overwrites
        return RawFrame(to_content(np.asarray(data, np.uint8)), captured) if good else None

    return read


def _convert(image: NDArray[np.uint8]) -> Content:
    return to_rgb(image)


def _yuyv_content(raw: NDArray[np.uint8]) -> Content:
    return raw_pixels(raw, (raw.shape[0], raw.shape[1]), decode_yuyv)


def _nv12_content(raw: NDArray[np.uint8]) -> Content:
    return raw_pixels(raw, (raw.shape[0] * 2 // 3, raw.shape[1]), decode_nv12)


DECODERS: dict[str, Callable[[NDArray[np.uint8]], Content]] = {
    "MJPG": lambda raw: jpeg_pixels(raw.tobytes()),
    "JPEG": lambda raw: jpeg_pixels(raw.tobytes()),
    "YUYV": _yuyv_content,
    "NV12": _nv12_content,
}
"""From raw images to the content of a frame, by FOURCC."""


def _read_fps(capture: cv2.VideoCapture) -> float:
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 1 <= fps <= 240 else 0.0
