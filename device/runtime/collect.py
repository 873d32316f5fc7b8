"""`pocketsight data capture`: pictures from a camera, for a data set."""

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
from pocketsight.device.errors import DataError, PocketsightError
from pocketsight.device.runtime.terminal import ReadKey, StatusLine, open_keyboard
from pocketsight.device.runtime.window import QUIT_KEYS, ShowImage, open_window
from pocketsight.device.system.signals import stop_on_signals
from pocketsight.device.vision.image import Image, write_jpeg

BLACK_LEVEL = 12  # mean level, 0..255, under which hardly anything can be seen
KEY_HELP = "space pauses, u undoes, q ends"


@dataclass(frozen=True)
class CaptureResult:
    """What a session took, in order."""

    session: str
    out: Path
    requested: int  # pictures asked for
    paths: tuple[Path, ...]


@dataclass
class CaptureSession:
    """The pictures taken so far, and what the person wants next."""

    out: Path
    count: int
    name: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}")
    paths: list[Path] = field(default_factory=list)
    paused: bool = False
    ended: bool = False
    last_image: Image | None = None  # the picture just taken
    warnings_given: set[str] = field(default_factory=set)


@dataclass
class CaptureTimer:
    """When the next picture is due, in seconds of the source's own clock."""

    interval: float
    initial_delay: float  # from the first frame to the first picture
    due: float | None = None
    last_time: float = 0.0

    def seconds_until_due(self, now: float, paused: bool) -> float:
        """Seconds until the next picture is due. Those since the last call do not count when `paused`."""
        self.due = now + self.initial_delay if self.due is None else self.due + (now - self.last_time if paused else 0)
        self.last_time = now
        return self.due - now

    def schedule_next(self) -> None:
        """A picture was taken. A camera that stalled is not made up for by a burst."""
        due = self.due or 0.0
        self.due = due + self.interval if self.last_time - due < self.interval else self.last_time + self.interval


def capture_images(
    source: str, size: tuple[int, int], out: Path, count: int, interval: float, countdown: int, show: bool
) -> CaptureResult:
    """Take `count` pictures from `source`, one every `every` seconds, and write them into the folder `out`.

    A live camera is asked for `size` (height, width), gives its newest frame each time, and starts after `countdown`
    seconds. In a video, seconds are the video's own. From a folder every picture is taken; `every` means nothing
    there. Files are named after the session, so that a later split can keep together what looks alike. Space pauses,
    u takes the last picture back, q or Escape ends. Raises CameraError, and DataError when `out` cannot be
    written; whatever was taken before is whole.
    """
    session = CaptureSession(out, count)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from error
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        camera = stack.enter_context(open_camera(source, size, stop))
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
            kept = f"; {_count_images(len(session.paths))} taken before stay in {out}" if session.paths else ""
            raise type(error)(f"{error}{kept}") from error
    return CaptureResult(session.name, out, count, tuple(session.paths))


def describe_result(result: CaptureResult) -> str:
    """What was taken, and what to do next."""
    taken = len(result.paths)
    if not taken:
        return "no picture was taken"
    many = _count_images(taken) if taken == result.requested else f"{taken} of {_count_images(result.requested)}"
    word = "label" if result.out.name == "images" else "check"
    data = result.out.parent if result.out.parent.name or word == "label" else result.out
    after = f"pocketsight data {word} {shlex.quote(str(data))}"
    return f"{many} in {result.out}, session {result.session}; next: {after}"


def draw_preview(image: Image, count: str, message: str) -> Image:
    """What the window shows: the picture as in a mirror, the count at its top and `middle` across it."""
    canvas = np.asarray(cv2.flip(image, 1), dtype=np.uint8)
    unit = max(1, round(canvas.shape[0] / 160))
    _draw_text(canvas, count, 0.15, 0.4 * unit)
    _draw_text(canvas, message, 0.55, 0.9 * unit)
    return canvas


def _draw_text(canvas: Image, text: str, height: float, scale: float) -> None:
    """White with a black edge, in the middle, `height` (0..1) down."""
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(2 * scale))
    (width, above), _ = cv2.getTextSize(text, font, scale, thick)
    corner = (canvas.shape[1] - width) // 2, round(canvas.shape[0] * height) + above // 2
    cv2.putText(canvas, text, corner, font, scale, (0, 0, 0), 3 * thick, cv2.LINE_AA)
    cv2.putText(canvas, text, corner, font, scale, (255, 255, 255), thick, cv2.LINE_AA)


CaptureUI = Callable[[Image, CaptureSession, float], str]


def _make_ui(window: ShowImage | None, keys: ReadKey, status: StatusLine) -> CaptureUI:
    """Shows where the session stands, in the window or else on the terminal; gives the key pressed there, or ""."""

    def look(image: Image, session: CaptureSession, wait: float) -> str:
        count = f"{len(session.paths)}/{session.count}"
        left = "" if session.paths or wait <= 0 else str(math.ceil(wait))
        if window:
            return window(draw_preview(image, count, "PAUSED" if session.paused else left)) or keys()
        state = "PAUSED" if session.paused else f"first picture in {left} s" if left else ""
        status.show("  ".join(filter(None, (count, state, KEY_HELP))))
        return keys()

    return look


def _initial_delay(camera: Camera, countdown: int) -> float:
    return countdown if camera.live else 0.0


def _source_time(camera: Camera, frame: Frame, interval: float) -> float:
    """Seconds: of this machine for a live camera, of the film for a video; each picture of a folder is due."""
    if camera.live:
        return time.monotonic()
    return frame.index / camera.fps if frame.source is None else frame.index * interval


def _capture_loop(
    camera: Camera,
    session: CaptureSession,
    timer: CaptureTimer,
    ui: CaptureUI,
    status: StatusLine,
    stop: threading.Event,
) -> None:
    """Take pictures until there are enough, the source ends, or the person or a signal ends it."""
    for frame in camera:
        wait = timer.seconds_until_due(_source_time(camera, frame, timer.interval), session.paused)
        _handle_key(session, ui(frame.image, session, wait))
        while session.paused and not session.ended and not camera.live and not stop.wait(0.03):
            _handle_key(session, ui(frame.image, session, wait))  # a file waits at this frame; a live camera goes on
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
            raise DataError(f"the last picture cannot be taken back: {error.strerror}") from error
        session.last_image = None


def _save_image(session: CaptureSession, image: Image, status: StatusLine) -> None:
    """Write one picture, and warn of a camera that sees nothing or has stopped seeing."""
    path = session.out / f"{session.name}_{len(session.paths) + 1:04}.jpg"
    write_jpeg(path, image)
    session.paths.append(path)
    if image.mean() < BLACK_LEVEL:
        _warn_once(session, status, f"{path.name} is nearly black; is the lens covered, or is there too little light?")
    if session.last_image is not None and np.array_equal(image, session.last_image):
        _warn_once(session, status, f"{path.name} is the same as the one before, to the byte; does the camera hang?")
    session.last_image = image


def _warn_once(session: CaptureSession, status: StatusLine, text: str) -> None:
    kind = text.split(" ", 1)[1]
    if kind not in session.warnings_given:
        session.warnings_given.add(kind)
        status.warn(f"warning: {text}")


def _count_images(number: int) -> str:
    return "1 picture" if number == 1 else f"{number} pictures"
