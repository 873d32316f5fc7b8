"""open_camera: from the value of --camera to an open camera."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

from pocketsight.device.camera.base import Camera
from pocketsight.device.camera.capture_thread import CameraSource
from pocketsight.device.camera.devices import list_pi_cameras, list_video_devices
from pocketsight.device.camera.files import open_file_camera
from pocketsight.device.camera.live import LiveCamera
from pocketsight.device.camera.network import network_camera_source
from pocketsight.device.camera.opencv import local_camera_source
from pocketsight.device.camera.options import DEFAULT_OPTIONS, CameraOptions
from pocketsight.device.camera.picamera2 import pi_camera_source
from pocketsight.device.camera.synthetic import open_synthetic
from pocketsight.device.errors import CameraError
from pocketsight.device.faults import FaultReporter, ignore_fault

SOURCE_HELP = (
    "a source is: auto, pi, a camera number, an image, a folder, a video file, an http or rtsp address, or synthetic"
)
FIRST_FRAME_TIMEOUT = 6.0  # seconds for the first frame of a camera that `auto` tries
DEFAULT_RESOLUTION = 480, 640  # height, width


@contextmanager
def open_camera(
    source: str,
    resolution: tuple[int, int] = DEFAULT_RESOLUTION,
    stop: threading.Event | None = None,
    report_fault: FaultReporter = ignore_fault,
    reconnect: bool = False,
    options: CameraOptions = DEFAULT_OPTIONS,
) -> Iterator[Camera]:
    """Open a source of frames; see SOURCE_HELP. Use it in a `with` statement.

    `resolution` (height, width) is requested from a live camera; files keep theirs. The frames end when `stop` is
    set. With `reconnect`, a live camera that fails after it was opened is opened again until it works, and
    `report_fault` is called, from any thread, when a fault begins and when it is over. `options` turn the images, and
    set controls of a camera. Raises CameraError when the
    source does not exist or cannot be opened.
    """
    arguments = resolution, options, stop or threading.Event(), report_fault, reconnect
    with _open_source(source, *arguments) as camera:
        if not isinstance(camera, LiveCamera):  # the source of a live one knows what the camera turns itself
            camera.turn = options.turn
        yield camera


def _open_source(
    source: str,
    size: tuple[int, int],
    options: CameraOptions,
    stop: threading.Event,
    report_fault: FaultReporter,
    reconnect: bool,
) -> AbstractContextManager[Camera]:
    if source == "auto":
        return _open_first_working(size, options, stop, report_fault, reconnect)
    if source == "synthetic" or source.startswith(("synthetic:", "synthetic@")):
        return open_synthetic(source, size, options.turn, stop, report_fault, reconnect)
    live_source = resolve_live_source(source, size, options)
    if live_source is not None:
        return LiveCamera(live_source, stop, report_fault, reconnect)
    if not Path(source).exists():
        raise CameraError(f"no camera {source!r}; {SOURCE_HELP}")
    return open_file_camera(Path(source), stop)


def resolve_live_source(
    source: str, size: tuple[int, int], options: CameraOptions = DEFAULT_OPTIONS
) -> CameraSource | None:
    """The live camera that `source` names; None if it names a file. Raises CameraError."""
    if source == "pi" or source.startswith("pi:"):
        return pi_camera_source(source, size, options)
    if "://" in source:
        return network_camera_source(source, options)
    if source.isdecimal() or Path(source).is_char_device():
        return local_camera_source(source, size, options)
    return None


def _open_first_working(
    size: tuple[int, int],
    options: CameraOptions,
    stop: threading.Event,
    report_fault: FaultReporter,
    reconnect: bool,
) -> LiveCamera:
    """The first camera of this machine that gives a frame: Pi cameras first, then by number."""
    candidates, failures = _list_candidates()
    for candidate in candidates:
        try:
            source = resolve_live_source(candidate, size, options) or local_camera_source(candidate, size, options)
            camera = LiveCamera(source, stop, report_fault, reconnect)
        except CameraError as error:
            failures.append(f"{candidate}: {error}")
            continue
        if camera.wait_for_frame(FIRST_FRAME_TIMEOUT) or stop.is_set():
            return camera
        camera.close()
        failures.append(f"{candidate}: opens, but gives no frame")
    reason = f" (tried {'; '.join(failures)})" if failures else ": no picamera2, and no /dev/video*"
    raise CameraError(f"no camera found{reason}; {SOURCE_HELP}")


def _list_candidates() -> tuple[list[str], list[str]]:
    """The sources to try, and why other devices are not tried."""
    ribbons, reason = list_pi_cameras()
    candidates = [ribbon.source for ribbon in ribbons]
    failures = [f"pi: {reason}"] if find_spec("picamera2") is not None and not ribbons else []
    for device in list_video_devices():
        if device.is_capture_device:
            candidates.append(device.source)
        else:
            failures.append(f"{device.source}: {device.note}")
    return candidates, failures
