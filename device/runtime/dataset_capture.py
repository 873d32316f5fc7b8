"""`pocketsight data capture`: collect images from a camera for a dataset."""

from __future__ import annotations

import math
import secrets
import shlex
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.camera import Camera, Frame, open_camera
from pocketsight.device.camera.options import DEFAULT_OPTIONS, CameraOptions
from pocketsight.device.errors import DataError, PocketsightError
from pocketsight.device.runtime.terminal import ReadKey, StatusLine, open_keyboard
from pocketsight.device.runtime.window import QUIT_KEYS, ShowImage, open_window
from pocketsight.device.system.signals import stop_on_signals
from pocketsight.device.vision.image import Image, write_jpeg

# Mean level, 0..255, below which an image is nearly black.
BLACK_LEVEL = 12
KEY_HELP = "space pauses, u deletes the last image, q quits"


@dataclass(frozen=True)
class CaptureResult:
    """The images of a session, in order."""

    session: str
    out: Path
    requested: int  # number of images
    paths: tuple[Path, ...]


@dataclass
class CaptureSession:
    """The images saved so far, and what the keys asked for."""

    out: Path
    count: int
    name: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}")
    paths: list[Path] = field(default_factory=list)
    paused: bool = False
    ended: bool = False
    last_image: Image | None = None
    warnings_given: set[str] = field(default_factory=set)


@dataclass
class CaptureTimer:
    """When the next image is due, in seconds of the clock of the source."""

    interval: float
    initial_delay: float  # from the first frame to the first image
    due: float | None = None
    last_time: float = 0.0

    def seconds_until_due(self, now: float, paused: bool) -> float:
        """Seconds until the next image is due. When `paused`, the time since the last call does not count."""
        self.due = now + self.initial_delay if self.due is None else self.due + (now - self.last_time if paused else 0)
        self.last_time = now
        return self.due - now

    def schedule_next(self) -> None:
        """Plan the next image after one was saved. A stall of the camera is not followed by a burst of images."""
        due = self.due or 0.0
        self.due = due + self.interval if self.last_time - due < self.interval else self.last_time + self.interval


def capture_images(
    source: str,
    size: tuple[int, int],
    out: Path,
    count: int,
    interval: float,
    countdown: int,
    show: bool,
    options: CameraOptions = DEFAULT_OPTIONS,
) -> CaptureResult:
    """Save `count` images from `source`, one every `interval` seconds, as JPEGs in the folder `out`.

    A live camera is opened with `size` (height, width) and starts after `countdown` seconds. For a video, seconds are
    those of the video. A folder ignores `interval`: every image is saved. File names begin with the session, so that a
    split can keep similar images together. Space pauses, u removes the last image, q or Escape ends.

    Raises CameraError when the camera fails and DataError when `out` cannot be written; saved images are kept.
    """
    session = CaptureSession(out, count)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from error
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        camera = stack.enter_context(open_camera(source, size, stop, options=options))
        window = stack.enter_context(open_window()) if show else None
        keys = stack.enter_context(open_keyboard())
        status = StatusLine()
        stack.callback(status.show, "")
        try:
            _capture_loop(
                camera,
                session,
                CaptureTimer(interval, _initial_delay(camera, countdown)),
                _make_ui(window, keys, status),
                status,
                stop,
            )
        except PocketsightError as error:
            kept = f"; {_count_images(len(session.paths))} saved before are kept in {out}" if session.paths else ""
            raise type(error)(f"{error}{kept}") from error
    return CaptureResult(session.name, out, count, tuple(session.paths))


def describe_result(result: CaptureResult) -> str:
    """One line: the number of images, their folder, and the command to run next."""
    count = len(result.paths)
    if not count:
        return "no image was saved"
    images = _count_images(count) if count == result.requested else f"{count} of {_count_images(result.requested)}"
    command = "label" if result.out.name == "images" else "check"
    data = result.out.parent if result.out.parent.name or command == "label" else result.out
    next_command = f"pocketsight data {command} {shlex.quote(str(data))}"
    return f"{images} in {result.out}, session {result.session}; next: {next_command}"


def draw_preview(image: Image, count: str, message: str) -> Image:
    """The image of the window: mirrored, with `count` at the top and `message` in the middle."""
    canvas = np.asarray(cv2.flip(image, 1), dtype=np.uint8)
    unit = max(1, round(canvas.shape[0] / 160))
    _draw_text(canvas, count, 0.15, 0.4 * unit)
    _draw_text(canvas, message, 0.55, 0.9 * unit)
    return canvas


def _draw_text(canvas: Image, text: str, height: float, scale: float) -> None:
    """Draw white text with a black outline, centered at `height` (0..1 of the image, from the top)."""
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(2 * scale))
    (width, text_height), _ = cv2.getTextSize(text, font, scale, thickness)
    corner = (canvas.shape[1] - width) // 2, round(canvas.shape[0] * height) + text_height // 2
    cv2.putText(canvas, text, corner, font, scale, (0, 0, 0), 3 * thickness, cv2.LINE_AA)
    cv2.putText(canvas, text, corner, font, scale, (255, 255, 255), thickness, cv2.LINE_AA)


CaptureUI = Callable[[Image, CaptureSession, float], str]
"""Shows an image, the session and the seconds until the next image; returns the key that was pressed, or ""."""


def _make_ui(window: ShowImage | None, keys: ReadKey, status: StatusLine) -> CaptureUI:
    """The state of the session in the window, or else on the terminal."""

    def show(image: Image, session: CaptureSession, wait: float) -> str:
        count = f"{len(session.paths)}/{session.count}"
        countdown = "" if session.paths or wait <= 0 else str(math.ceil(wait))
        if window:
            return window(draw_preview(image, count, "PAUSED" if session.paused else countdown)) or keys()
        state = "PAUSED" if session.paused else f"first image in {countdown} s" if countdown else ""
        status.show("  ".join(filter(None, (count, state, KEY_HELP))))
        return keys()

    return show


def _initial_delay(camera: Camera, countdown: int) -> float:
    return countdown if camera.live else 0.0


def _source_time(camera: Camera, frame: Frame, interval: float) -> float:
    """Seconds of the clock of the source: of this machine for a live camera, of the video for a video.

    In a folder, each image is one interval later than the one before.
    """
    if camera.live:
        return time.monotonic()
    if frame.source is not None:
        return frame.index * interval
    return frame.index / camera.fps if frame.position is None else frame.position


def _capture_loop(
    camera: Camera,
    session: CaptureSession,
    timer: CaptureTimer,
    ui: CaptureUI,
    status: StatusLine,
    stop: threading.Event,
) -> None:
    """Save images until there are enough, the source ends, or a key or a signal ends the session."""
    for frame in camera:
        wait = timer.seconds_until_due(_source_time(camera, frame, timer.interval), session.paused)
        _handle_key(session, ui(frame.image, session, wait))
        while session.paused and not session.ended and not camera.live and not stop.wait(0.03):
            _handle_key(session, ui(frame.image, session, wait))  # a file waits at this frame; a live camera continues
        if session.ended or stop.is_set():
            return
        if session.paused or wait > 1e-6:
            continue
        _save_image(session, frame.image, status)
        timer.schedule_next()
        if len(session.paths) == session.count:
            return


def _handle_key(session: CaptureSession, key: str) -> None:
    if key in QUIT_KEYS:
        session.ended = True
    elif key == " ":
        session.paused = not session.paused
    elif key == "u" and session.paths:
        try:
            session.paths.pop().unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"the last image cannot be removed: {error.strerror}") from error
        session.last_image = None


def _save_image(session: CaptureSession, image: Image, status: StatusLine) -> None:
    """Save one image, and warn if it is nearly black or identical to the one before."""
    path = session.out / f"{session.name}_{len(session.paths) + 1:04}.jpg"
    write_jpeg(path, image)
    session.paths.append(path)
    if image.mean() < BLACK_LEVEL:
        _warn_once(session, status, f"{path.name} is nearly black: is the lens covered, or is there too little light?")
    if session.last_image is not None and np.array_equal(image, session.last_image):
        _warn_once(session, status, f"{path.name} is identical to the one before: does the camera hang?")
    session.last_image = image


def _warn_once(session: CaptureSession, status: StatusLine, text: str) -> None:
    kind = text.split(" ", 1)[1]
    if kind not in session.warnings_given:
        session.warnings_given.add(kind)
        status.warn(f"warning: {text}")


def _count_images(number: int) -> str:
    return "1 picture" if number == 1 else f"{number} pictures"
