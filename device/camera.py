"""Frames, from a Pi camera, a webcam, a stream, a video file or pictures.

A live camera is read by a thread of its own into a slot that holds the newest frame only: a slow frame costs
frames, never a growing lag. Files are read frame by frame, without loss.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgekit.device.errors import CameraError
from edgekit.device.image import SUFFIXES, Image, pictures, read_image, to_rgb

DEADLINE = 10.0  # seconds without a frame after which a live camera counts as gone
HINT = "a source is: pi, a camera number, a picture, a folder, a video file, or an http or rtsp address"


@dataclass(frozen=True)
class Frame:
    """One picture and when it came."""

    image: Image  # (H, W, 3) RGB
    index: int  # counts from 0, dropped frames included
    taken: float  # seconds since the epoch
    source: str | None = None  # the file, where frames are pictures


class Camera:
    """Iterates over frames until the source ends or `stop` is set."""

    fps = 10.0  # of a video made from these frames
    length: int | None = None  # frames, where they are known beforehand
    dropped = 0  # frames that came while another was worked on

    def __init__(self, frames: Iterator[Frame]) -> None:
        self.frames = frames

    def __iter__(self) -> Iterator[Frame]:
        return self.frames


class LiveCamera(Camera):
    """`read` gives one RGB frame or None, and may block; it runs in a thread of its own."""

    def __init__(self, name: str, read: Callable[[], Image | None], stop: threading.Event) -> None:
        super().__init__(self._newest())
        self.name, self.read, self.stop = name, read, stop
        self.ready = threading.Condition()
        self.slot: Frame | None = None
        self.count, self.ended = 0, False
        self.failure: Exception | None = None
        self.thread = threading.Thread(target=self._capture, name="camera", daemon=True)
        self.thread.start()

    def _capture(self) -> None:
        while not self.ended and not self.stop.is_set():
            image = None
            try:
                image = self.read()
            except Exception as error:  # whatever a camera library raises is told in the main thread
                self.failure = error
            with self.ready:
                if image is None:
                    self.ended = True
                else:
                    self.dropped += self.slot is not None
                    self.slot = Frame(image, self.count, time.time())
                    self.count += 1
                self.ready.notify()

    def _newest(self) -> Iterator[Frame]:
        last = time.monotonic()
        while not self.stop.is_set():
            with self.ready:
                self.ready.wait_for(lambda: self.slot is not None or self.ended, timeout=0.2)
                frame, self.slot, ended = self.slot, None, self.ended
            if frame is not None:
                yield frame
                last = time.monotonic()
            elif ended:
                why = f" ({self.failure})" if self.failure else ""
                line = f"{self.name} stopped giving frames after {self.count}{why}; is it still connected?"
                raise CameraError(line) from self.failure
            elif time.monotonic() - last > DEADLINE:
                raise CameraError(f"{self.name} gave no frame for {DEADLINE:.0f} s; unplug it and plug it in again")


@contextmanager
def open_camera(source: str, size: tuple[int, int], stop: threading.Event) -> Iterator[Camera]:
    """Open a source; `size` (height, width) is what a live camera is asked for. Raises CameraError."""
    if source == "auto":
        source = "pi" if _has_picamera2() else "0"
    if source == "pi":
        opened = _open_pi(size, stop)
    elif source.isdecimal() or "://" in source or Path(source).is_char_device():
        opened = _open_stream(source, size, stop)
    else:
        opened = _open_files(Path(source), stop)
    with opened as camera:
        yield camera


@contextmanager
def _open_files(path: Path, stop: threading.Event) -> Iterator[Camera]:
    if path.is_dir():
        files = pictures(path)
        if not files:
            raise CameraError(f"{path} holds no pictures")
        camera = Camera(_read_pictures(files, stop))
        camera.length = len(files)
        yield camera
    elif path.suffix.lower() in SUFFIXES:
        yield Camera(_read_pictures([path], stop))
    elif path.exists():
        with _capture(str(path)) as capture:
            camera = Camera(_read_video(capture, stop))
            camera.fps = capture.get(cv2.CAP_PROP_FPS) or Camera.fps
            camera.length = max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT))) or None
            yield camera
    else:
        raise CameraError(f"no camera {str(path)!r}; {HINT}")


def _read_pictures(files: list[Path], stop: threading.Event) -> Iterator[Frame]:
    for index, path in enumerate(files):
        if stop.is_set():
            return
        yield Frame(read_image(path), index, time.time(), str(path))


def _read_video(capture: cv2.VideoCapture, stop: threading.Event) -> Iterator[Frame]:
    index = 0
    while not stop.is_set() and (image := _grab(capture)) is not None:
        yield Frame(image, index, time.time())
        index += 1
    if index == 0 and not stop.is_set():
        raise CameraError("the video holds no frame that OpenCV can read")


@contextmanager
def _open_stream(source: str, size: tuple[int, int], stop: threading.Event) -> Iterator[Camera]:
    local = source.isdecimal()
    with _capture(int(source) if local else source) as capture:
        if local:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
        camera = LiveCamera(f"camera {source!r}", lambda: _grab(capture), stop)
        fps = capture.get(cv2.CAP_PROP_FPS)
        camera.fps = fps if 1 <= fps <= 240 else Camera.fps
        try:
            yield camera
        finally:
            stop.set()
            camera.thread.join(timeout=2)  # before the capture is released under it


@contextmanager
def _capture(source: int | str) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        if isinstance(source, int):
            raise CameraError(f"no camera '{source}'; is it plugged in, and free? try: ls /dev/video*; {HINT}")
        raise CameraError(f"{source!r} cannot be opened as a video; {HINT}")
    try:
        yield capture
    finally:
        capture.release()


def _grab(capture: cv2.VideoCapture) -> Image | None:
    good, image = capture.read()
    return to_rgb(np.asarray(image, dtype=np.uint8)) if good else None


def _has_picamera2() -> bool:
    from importlib.util import find_spec

    return find_spec("picamera2") is not None


@contextmanager
def _open_pi(size: tuple[int, int], stop: threading.Event) -> Iterator[Camera]:
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise CameraError(
            f"picamera2 is not visible here ({error}); install it with: sudo apt install python3-picamera2, "
            "and make the virtual environment with --system-site-packages"
        ) from error
    device: Any = None
    try:
        device = Picamera2()
        # "BGR888" is picamera2's name for arrays whose channels come as R, G, B.
        device.configure(device.create_video_configuration(main={"size": size[::-1], "format": "BGR888"}))
        device.start()
    except (RuntimeError, IndexError) as error:
        if device is not None:
            device.close()
        cure = "is the ribbon seated, and does rpicam-hello show a picture?"
        raise CameraError(f"no Pi camera ({error}); {cure}") from error
    camera = LiveCamera("the Pi camera", lambda: np.asarray(device.capture_array("main"), dtype=np.uint8), stop)
    camera.fps = 30.0  # what a video configuration gives
    try:
        yield camera
    finally:
        stop.set()
        camera.thread.join(timeout=2)
        device.stop()
        device.close()
