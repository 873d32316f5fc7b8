"""From what stands behind --camera to an open camera."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

from pocketsight.device.camera.devices import pi_cameras, video_devices
from pocketsight.device.camera.files import open_files
from pocketsight.device.camera.frame import Camera, Tell, untold
from pocketsight.device.camera.live import LiveCamera
from pocketsight.device.camera.pi import pi_camera
from pocketsight.device.camera.reader import Source
from pocketsight.device.camera.stream import local_camera, network_camera
from pocketsight.device.camera.synthetic import open_synthetic
from pocketsight.device.errors import CameraError

HINT = (
    "a source is: auto, pi, a camera number, a picture, a folder, a video file, an http or rtsp address, or synthetic"
)
FIRST = 6.0  # seconds in which a camera that `auto` tries must give a frame


@contextmanager
def open_camera(
    source: str, size: tuple[int, int], stop: threading.Event, tell: Tell = untold, patient: bool = False
) -> Iterator[Camera]:
    """Open a source; `size` (height, width) is what a live camera is asked for. Raises CameraError.

    With `patient` a live camera that fails after it was once open is opened again, for ever, and `tell` is called,
    from any thread, when a fault begins and when it is over.
    """
    with _opened(source, size, stop, tell, patient) as camera:
        yield camera


def _opened(
    source: str, size: tuple[int, int], stop: threading.Event, tell: Tell, patient: bool
) -> AbstractContextManager[Camera]:  # fmt: skip
    if source == "auto":
        return _first_that_sees(size, stop, tell, patient)
    if source == "synthetic" or source.startswith(("synthetic:", "synthetic@")):
        return open_synthetic(source, size, stop, tell, patient)
    found = live_source(source, size)
    if found is not None:
        return LiveCamera(found, stop, tell, patient)
    if not Path(source).exists():
        raise CameraError(f"no camera {source!r}; {HINT}")
    return open_files(Path(source), stop)


def live_source(source: str, size: tuple[int, int]) -> Source | None:
    """The live camera that `source` names; None where it names a file. Raises CameraError."""
    if source == "pi" or source.startswith("pi:"):
        return pi_camera(source, size)
    if "://" in source:
        return network_camera(source)
    if source.isdecimal() or Path(source).is_char_device():
        return local_camera(source, size)
    return None


def _first_that_sees(size: tuple[int, int], stop: threading.Event, tell: Tell, patient: bool) -> LiveCamera:
    """The first camera of this machine that gives a frame: the Pi's own, then by number."""
    tried: list[str] = []
    ribbons, why = pi_cameras()
    if find_spec("picamera2") is not None and not ribbons:
        tried.append(f"pi: {why}")
    candidates = [found.source for found in ribbons]
    for found in video_devices():
        if found.captures:
            candidates.append(found.source)
        else:
            tried.append(f"{found.source}: {found.note}")
    for candidate in candidates:
        try:
            camera = LiveCamera(live_source(candidate, size) or local_camera(candidate, size), stop, tell, patient)
        except CameraError as error:
            tried.append(f"{candidate}: {error}")
            continue
        if camera.sees(FIRST) or stop.is_set():
            return camera
        camera.close()
        tried.append(f"{candidate}: opens, but gives no frame")
    told = f" (tried {'; '.join(tried)})" if tried else ": picamera2 is not here, and there is no /dev/video*"
    raise CameraError(f"no camera found{told}; {HINT}")
