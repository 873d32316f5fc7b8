"""Network cameras: JPEGs over HTTP by our own reader, all other streams through PyAV or OpenCV."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from pocketsight.device.camera.av_stream import import_av, open_av
from pocketsight.device.camera.capture_thread import CameraSource, CaptureDevice, RawFrame
from pocketsight.device.camera.decoder_check import check_decoder
from pocketsight.device.camera.http import open_http
from pocketsight.device.camera.options import DEFAULT_OPTIONS, CameraOptions
from pocketsight.device.camera.timeline import believable_fps
from pocketsight.device.errors import CameraError
from pocketsight.device.system.urls import redact_url
from pocketsight.device.vision.image import to_rgb

TIMEOUT = 5.0  # seconds for opening and for one read
MIN_POLL_RATE = 0.2  # images per second; with fewer the camera would count as stalled
OPEN_HINT = "is it on, does this machine reach it, and are user and password right?"
STREAM_OPTIONS = {"rtsp_transport": "tcp"}  # UDP loses packets, which makes frames gray
FFMPEG_ENVIRONMENT = {
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;tcp",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # no messages: they can contain the address with its password
}


def network_camera_source(address: str, options: CameraOptions = DEFAULT_OPTIONS) -> CameraSource:
    """The camera at an http or rtsp address."""
    shown = redact_url(address)

    @contextmanager
    def open_device() -> Iterator[CaptureDevice]:
        if re.match("https?://", address, re.IGNORECASE):
            with open_http(address, shown, max(options.poll_rate, MIN_POLL_RATE), TIMEOUT) as device:
                if device:
                    yield device
                    return
        with (_open_av if import_av() else _open_opencv)(address, shown) as device:
            yield device

    # A server may send a still image repeatedly: it is accepted after a minute and one reopening.
    return CameraSource(
        f"camera {shown!r}", open_device, freeze_timeout=60.0, has_sensor_noise=False, turn=options.turn
    )


@contextmanager
def _open_av(address: str, shown: str) -> Iterator[CaptureDevice]:
    try:
        opened = open_av(address, STREAM_OPTIONS, TIMEOUT)
        stream = opened.__enter__()
    except (OSError, ValueError) as error:  # its text holds the address
        raise CameraError(f"camera {shown!r} cannot be opened{_reason(error)}; {OPEN_HINT}") from None
    frames = stream.frames()

    def read() -> RawFrame | None:
        try:
            content, _ = next(frames, (None, None))
        except (OSError, ValueError) as error:
            raise CameraError(f"the connection failed{_reason(error)}") from None
        return None if content is None else RawFrame(content)

    try:
        yield CaptureDevice(read, stream.fps or 0.0)
    finally:
        opened.__exit__(None, None, None)


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None)
    return f" ({text})" if text else ""


@contextmanager
def _open_opencv(address: str, shown: str) -> Iterator[CaptureDevice]:
    for name, value in FFMPEG_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    backend, options = cv2.CAP_ANY, []
    if cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends():
        backend, options = cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(1000 * TIMEOUT)]
        options += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1000 * TIMEOUT)]
    capture = cv2.VideoCapture(address, backend, options)
    try:
        if not capture.isOpened():
            raise CameraError(f"camera {shown!r} cannot be opened; {OPEN_HINT}")
        check_decoder(address, f"camera {shown!r}")
        yield CaptureDevice(_make_reader(capture), believable_fps(capture.get(cv2.CAP_PROP_FPS)) or 0.0)
    finally:
        capture.release()


def _make_reader(capture: cv2.VideoCapture) -> Callable[[], RawFrame | None]:
    """A function that reads into one buffer and returns RGB copies, which nothing overwrites."""
    buffer: cv2.typing.MatLike | None = None

    def read() -> RawFrame | None:
        nonlocal buffer
        good, buffer = capture.read(buffer)
        return RawFrame(to_rgb(np.asarray(buffer, np.uint8))) if good else None

    return read
