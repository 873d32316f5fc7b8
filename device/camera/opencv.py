"""Cameras that OpenCV reads: local ones (V4L2: USB and others) and network cameras (RTSP, MJPEG over HTTP)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.camera.capture_thread import CameraSource, CaptureDevice, RawFrame
from pocketsight.device.camera.devices import describe_holders
from pocketsight.device.camera.freeze_detector import FREEZE_TIMEOUT
from pocketsight.device.errors import CameraError
from pocketsight.device.system.urls import redact_url

TIMEOUT_MS = 5000  # for opening and for one read, where the back end of OpenCV supports it
BUFFER_COUNT = 2  # V4L2 buffers: one is filled while the other is read; with a single one every second frame is lost
MAX_TIMESTAMP_AGE = 5.0  # seconds: if the timestamp of the first frame is older, it is from another clock
FFMPEG_ENVIRONMENT = {
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;tcp",  # UDP loses packets, which makes frames gray
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # no messages: they can contain the address with its password
}


def network_camera_source(address: str) -> CameraSource:
    """The camera at an http or rtsp address."""
    shown = redact_url(address)
    # A server may send a still image repeatedly: it is accepted after a minute and one reopening.
    return CameraSource(
        f"camera {shown!r}", lambda: _open_network(address, shown), freeze_timeout=60.0, has_sensor_noise=False
    )


def local_camera_source(source: str, size: tuple[int, int]) -> CameraSource:
    """The camera with a number or a device path; `size` (height, width) is requested from it."""
    path = Path(f"/dev/video{source}" if source.isdecimal() else source)
    lasting_path = stable_path(path)
    return CameraSource(
        f"camera {source!r}", lambda: _open_local(source, lasting_path, size), freeze_timeout=FREEZE_TIMEOUT
    )


def stable_path(path: Path, links_dir: Path = Path("/dev/v4l/by-path")) -> Path:
    """The link that names the USB port of a device, if there is one: the number changes when it is plugged in again."""
    for link in sorted(links_dir.glob("*")):
        if link.resolve() == path.resolve():
            return link
    return path


@contextmanager
def _open_network(address: str, redacted: str) -> Iterator[CaptureDevice]:
    for name, value in FFMPEG_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    backend, options = cv2.CAP_ANY, []
    if cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends():
        backend, options = cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS]
        options += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
    capture = cv2.VideoCapture(address, backend, options)
    try:
        if not capture.isOpened():
            hint = "is it on, does this machine reach it, and are user and password right?"
            raise CameraError(f"camera {redacted!r} cannot be opened; {hint}")
        yield CaptureDevice(_make_reader(capture), _read_fps(capture))
    finally:
        capture.release()


@contextmanager
def _open_local(source: str, path: Path, size: tuple[int, int]) -> Iterator[CaptureDevice]:
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
        capture.set(cv2.CAP_PROP_BUFFERSIZE, BUFFER_COUNT)
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
        timestamp = monotonic_timestamps(lambda: capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        yield CaptureDevice(_make_reader(capture, timestamp), _read_fps(capture))
    finally:
        capture.release()


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


def _make_reader(
    capture: cv2.VideoCapture, timestamp: Callable[[], float | None] = lambda: None
) -> Callable[[], RawFrame | None]:
    """A function that reads into one buffer and returns RGB copies, which nothing overwrites."""
    buffer: cv2.typing.MatLike | None = None

    def read() -> RawFrame | None:
        nonlocal buffer
        good, buffer = capture.read(buffer)
        return RawFrame(np.asarray(cv2.cvtColor(buffer, cv2.COLOR_BGR2RGB), np.uint8), timestamp()) if good else None

    return read


def _read_fps(capture: cv2.VideoCapture) -> float:
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 1 <= fps <= 240 else 0.0
