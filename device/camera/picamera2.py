"""The Pi's own camera, through picamera2 (by apt; the environment must see the system's packages).

The image processor behind the sensor makes the frame: it scales, and gives R, G, B. So one stream is enough; a second
one (`lores`) is no RGB on a Pi 4, and nothing here would look at a larger picture.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.camera.capture_thread import CameraSource, CaptureDevice, RawFrame
from pocketsight.device.camera.devices import find_holders
from pocketsight.device.camera.freeze import FREEZE_TIMEOUT
from pocketsight.device.errors import CameraError

FRAME_TIMEOUT = 5.0  # seconds for a frame; a camera whose ribbon is loose gives none, and says nothing
BUFFER_COUNT = 4  # one with the sensor, one with the image processor, one that we copy, one to spare


def pi_camera_source(source: str, size: tuple[int, int]) -> CameraSource:
    """The camera `pi`, or `pi:1` where there are two, asked for `size` (height, width)."""
    number = source.partition(":")[2] or "0"
    if not number.isdecimal():
        raise CameraError(f"no camera {source!r}; the Pi's own are pi and pi:1")
    name = "the Pi camera" if number == "0" else f"the Pi camera {number}"
    return CameraSource(name, lambda: _open(int(number), size), freeze_timeout=FREEZE_TIMEOUT)


@contextmanager
def _open(number: int, size: tuple[int, int]) -> Iterator[CaptureDevice]:
    device = _start_device(number, size)
    try:
        yield CaptureDevice(lambda: _read_frame(device), 30.0)  # what a video configuration gives
    finally:
        _close(device)


def _start_device(number: int, size: tuple[int, int]) -> Any:
    try:
        from picamera2 import Picamera2
    except Exception as error:  # not there, or built against another numpy
        raise CameraError(
            f"picamera2 is not visible here ({error}); install it with: sudo apt install python3-picamera2, "
            "and make the virtual environment with --system-site-packages"
        ) from error
    device: Any = None
    try:
        device = Picamera2(number)
        device.configure(_create_configuration(device, size))
        device.start()
        return device
    except Exception as error:
        if device is not None:
            _close(device)
        held = find_holders(*sorted(Path("/dev").glob("media*")))
        cure = f"held by {', '.join(held)}" if held else "is the ribbon seated, and does rpicam-hello show a picture?"
        raise CameraError(f"no Pi camera ({error}); {cure}") from error


def _create_configuration(device: Any, size: tuple[int, int]) -> Any:
    """A small stream of R, G, B, made from the whole sensor.

    "BGR888" is picamera2's name for arrays whose channels come as R, G, B. Without a word about the raw stream, the
    sensor's smallest mode would be taken, which on most of them sees the middle only; half the sensor's size is the
    mode that puts four pixels together, sees everything and still gives 30 frames a second.
    """
    wanted: dict[str, Any] = {"main": {"size": size[::-1], "format": "BGR888"}, "buffer_count": BUFFER_COUNT}
    width, height = (side // 2 for side in device.sensor_resolution)
    if size[0] <= height and size[1] <= width:
        wanted["raw"] = {"size": (width, height)}
    return device.create_video_configuration(**wanted)


def _read_frame(device: Any) -> RawFrame:
    """The newest frame and when its exposure began; picamera2 keeps one and drops those before."""
    request = device.capture_request(wait=FRAME_TIMEOUT)
    try:
        image = np.asarray(request.make_array("main"), dtype=np.uint8)  # a copy; the buffer goes back to the camera
        stamp = request.get_metadata().get("SensorTimestamp")  # ns of CLOCK_BOOTTIME
    finally:
        request.release()
    if stamp is None:
        return RawFrame(image)
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - stamp / 1e9
    return RawFrame(image, time.monotonic() - max(0.0, age))


def _close(device: Any) -> None:
    """Stop and let go, whatever state it is in."""
    for end in (device.stop, device.close):
        with suppress(Exception):
            end()
