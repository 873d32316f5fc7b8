"""The Pi camera, through picamera2, which comes by apt: the environment must see the system's packages.

The image processor scales the frames of the sensor and converts them to RGB, so that one stream is enough. A second one
(`lores`) has no RGB on a Pi 4, and nothing here needs a larger image.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.camera.capture_thread import CameraSource, CaptureDevice, RawFrame
from pocketsight.device.camera.devices import describe_holders
from pocketsight.device.camera.freeze_detector import FREEZE_TIMEOUT
from pocketsight.device.camera.imx500 import UPLOAD_TIMEOUT, SensorNetwork
from pocketsight.device.camera.options import DEFAULT_OPTIONS, CameraOptions
from pocketsight.device.camera.picamera2_controls import make_controls
from pocketsight.device.errors import CameraError
from pocketsight.device.vision.turn import UPRIGHT, Turn

FRAME_TIMEOUT = 5.0  # seconds for a frame; a camera with a loose ribbon gives none, without an error
VIDEO_FPS = 30.0  # the frame rate of a video configuration
TUNING_FOLDER = "/usr/share/libcamera/ipa/rpi"
BUFFER_COUNT = 4  # for the sensor, for the image processor, for our copy, and a spare one


def pi_camera_source(source: str, size: tuple[int, int], options: CameraOptions = DEFAULT_OPTIONS) -> CameraSource:
    """The camera `pi`, or `pi:1` for the second one; `size` (height, width) is requested from it.

    libcamera mirrors and turns by 180 degrees itself, without cost. Quarter turns are left to us.
    """
    number = source.partition(":")[2] or "0"
    if not number.isdecimal():
        raise CameraError(f"no camera {source!r}; Pi cameras are pi and pi:1")
    name = "the Pi camera" if number == "0" else f"the Pi camera {number}"
    turn = options.turn if options.turn.swaps_sides else UPRIGHT
    return CameraSource(
        name,
        lambda: _open(int(number), size, options),
        freeze_timeout=FREEZE_TIMEOUT,
        turn=turn,
        open_timeout=UPLOAD_TIMEOUT if options.sensor_network else 0.0,
    )


@contextmanager
def _open(number: int, size: tuple[int, int], options: CameraOptions) -> Iterator[CaptureDevice]:
    device = _start_device(number, size, options)
    try:
        yield CaptureDevice(lambda: _read_frame(device, options.sensor_network), options.frame_rate or VIDEO_FPS)
    finally:
        _close(device)


def _start_device(number: int, size: tuple[int, int], options: CameraOptions) -> Any:
    try:
        from picamera2 import Picamera2
    except Exception as error:  # not installed, or built for another numpy
        raise CameraError(
            f"picamera2 is not available ({error}); install it with: sudo apt install python3-picamera2, "
            "and create the virtual environment with --system-site-packages"
        ) from error
    device: Any = None
    network = options.sensor_network
    try:
        if network:
            network.load(number)
        device = Picamera2(number, **_load_tuning(Picamera2, options.tuning_file))
        controls = make_controls(device.camera_controls, options.controls)
        if options.frame_rate:
            controls["FrameRate"] = options.frame_rate
        device.configure(_create_configuration(device, size, options.turn))
        device.set_controls(controls)
        with network.show_progress() if network else nullcontext():
            device.start()
        return device
    except Exception as error:
        if device is not None:
            _close(device)
        if isinstance(error, CameraError):
            raise
        hint = "is the ribbon seated, and does rpicam-hello show an image?"
        reason = describe_holders(*sorted(Path("/dev").glob("media*"))) or hint
        raise CameraError(f"no Pi camera ({error}); {reason}") from error


def _load_tuning(picamera2: Any, tuning_file: str | None) -> dict[str, Any]:
    """The argument of Picamera2 for a tuning file, by its name or path."""
    if tuning_file is None:
        return {}
    path = Path(tuning_file).expanduser()
    try:
        folder = {"dir": str(path.parent)} if len(path.parts) > 1 else {}
        return {"tuning": picamera2.load_tuning_file(path.name, **folder)}
    except Exception as error:
        raise CameraError(
            f"the tuning file {tuning_file!r} cannot be read ({error}); those of libcamera are in {TUNING_FOLDER}"
        ) from error


def _create_configuration(device: Any, size: tuple[int, int], turn: Turn) -> Any:
    """An RGB stream of the requested size that shows the whole view of the sensor.

    "BGR888" is picamera2's name for arrays with the channel order R, G, B. Without a raw stream picamera2 chooses the
    smallest mode of the sensor, which on most sensors crops to the center. The mode of half the sensor size averages
    four pixels, shows the whole view and still gives 30 frames per second.
    """
    options: dict[str, Any] = {"main": {"size": size[::-1], "format": "BGR888"}, "buffer_count": BUFFER_COUNT}
    width, height = (side // 2 for side in device.sensor_resolution)
    if size[0] <= height and size[1] <= width:
        options["raw"] = {"size": (width, height)}
    if turn != UPRIGHT and not turn.swaps_sides:
        from libcamera import Transform

        options["transform"] = Transform(hflip=turn.mirror != (turn.degrees == 180), vflip=turn.degrees == 180)
    return device.create_video_configuration(**options)


def _read_frame(device: Any, network: SensorNetwork | None) -> RawFrame:
    """The newest frame, the start of its exposure, and the outputs of `network` for it.

    picamera2 drops older frames. Frames that came before their outputs could be computed are left out.
    """
    request = device.capture_request(wait=FRAME_TIMEOUT)
    while network and network.awaits(request.get_metadata()):
        request.release()
        request = device.capture_request(wait=FRAME_TIMEOUT)
    try:
        image = np.asarray(request.make_array("main"), dtype=np.uint8)  # a copy: the buffer returns to the camera
        metadata = request.get_metadata()
    finally:
        request.release()
    sensor = network.read(metadata, image.shape[:2]) if network else None
    timestamp = metadata.get("SensorTimestamp")  # ns of CLOCK_BOOTTIME
    if timestamp is None:
        return RawFrame(image, sensor=sensor)
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - timestamp / 1e9
    return RawFrame(image, time.monotonic() - max(0.0, age), sensor)


def _close(device: Any) -> None:
    """Stop and close the device in any state."""
    for close in (device.stop, device.close):
        with suppress(Exception):
            close()
