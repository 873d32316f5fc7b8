"""From what stands behind --camera to an open camera."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

from pocketsight.device.camera.base import Camera
from pocketsight.device.camera.capture_thread import CameraSource
from pocketsight.device.camera.devices import list_pi_cameras, list_video_devices
from pocketsight.device.camera.files import open_files
from pocketsight.device.camera.live import LiveCamera
from pocketsight.device.camera.opencv import local_camera_source, network_camera_source
from pocketsight.device.camera.picamera2 import pi_camera_source
from pocketsight.device.camera.synthetic import open_synthetic
from pocketsight.device.errors import CameraError
from pocketsight.device.faults import FaultReporter, ignore_fault

SOURCE_HELP = (
    "a source is: auto, pi, a camera number, a picture, a folder, a video file, an http or rtsp address, or synthetic"
)
FIRST_FRAME_TIMEOUT = 6.0  # seconds in which a camera that `auto` tries must give a frame


@contextmanager
def open_camera(
    source: str,
    size: tuple[int, int] = (480, 640),
    stop: threading.Event | None = None,
    report_fault: FaultReporter = ignore_fault,
    reconnect: bool = False,
) -> Iterator[Camera]:
    """Open a source; `size` (height, width) is what a live camera is asked for. Raises CameraError.

    With `patient` a live camera that fails after it was once open is opened again, for ever, and `tell` is called,
    from any thread, when a fault begins and when it is over.
    """
    with _open_source(source, size, stop or threading.Event(), report_fault, reconnect) as camera:
        yield camera


def _open_source(
    source: str, size: tuple[int, int], stop: threading.Event, report_fault: FaultReporter, reconnect: bool
) -> AbstractContextManager[Camera]:
    if source == "auto":
        return _open_first_working(size, stop, report_fault, reconnect)
    if source == "synthetic" or source.startswith(("synthetic:", "synthetic@")):
        return open_synthetic(source, size, stop, report_fault, reconnect)
    found = resolve_live_source(source, size)
    if found is not None:
        return LiveCamera(found, stop, report_fault, reconnect)
    if not Path(source).exists():
        raise CameraError(f"no camera {source!r}; {SOURCE_HELP}")
    return open_files(Path(source), stop)


def resolve_live_source(source: str, size: tuple[int, int]) -> CameraSource | None:
    """The live camera that `source` names; None where it names a file. Raises CameraError."""
    if source == "pi" or source.startswith("pi:"):
        return pi_camera_source(source, size)
    if "://" in source:
        return network_camera_source(source)
    if source.isdecimal() or Path(source).is_char_device():
        return local_camera_source(source, size)
    return None


def _open_first_working(
    size: tuple[int, int], stop: threading.Event, report_fault: FaultReporter, reconnect: bool
) -> LiveCamera:
    """The first camera of this machine that gives a frame: the Pi's own, then by number."""
    tried: list[str] = []
    ribbons, why = list_pi_cameras()
    if find_spec("picamera2") is not None and not ribbons:
        tried.append(f"pi: {why}")
    candidates = [found.source for found in ribbons]
    for found in list_video_devices():
        if found.is_capture_device:
            candidates.append(found.source)
        else:
            tried.append(f"{found.source}: {found.note}")
    for candidate in candidates:
        try:
            camera = LiveCamera(
                resolve_live_source(candidate, size) or local_camera_source(candidate, size),
                stop,
                report_fault,
                reconnect,
            )
        except CameraError as error:
            tried.append(f"{candidate}: {error}")
            continue
        if camera.wait_for_frame(FIRST_FRAME_TIMEOUT) or stop.is_set():
            return camera
        camera.close()
        tried.append(f"{candidate}: opens, but gives no frame")
    told = f" (tried {'; '.join(tried)})" if tried else ": picamera2 is not here, and there is no /dev/video*"
    raise CameraError(f"no camera found{told}; {SOURCE_HELP}")
