"""`pocketsight data capture`: pictures from a camera, for a data set."""

from __future__ import annotations

import math
import re
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
from pocketsight.device.files import write_jpeg
from pocketsight.device.image import Image
from pocketsight.device.screen import ENDS, Keys, Show, StatusLine, keyboard, screen, stopped_by_signals

BLACK = 12  # mean level, 0..255, under which hardly anything can be seen
KEYS = "space pauses, u undoes, q ends"
NAME = re.compile(r"(?:.*/)?(\d{8}T\d{6}Z-[0-9a-f]{4})_\d{4,}(?:[_-]\w+)?(?:\.\w+)?")  # also of a crop or a copy


@dataclass(frozen=True)
class Captured:
    """What a session took, in order."""

    session: str
    out: Path
    count: int  # pictures asked for
    pictures: tuple[Path, ...]


@dataclass
class Session:
    """The pictures taken so far, and what the person wants next."""

    out: Path
    count: int
    name: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}")
    taken: list[Path] = field(default_factory=list)
    paused: bool = False
    ended: bool = False
    last: Image | None = None  # the picture just taken
    warned: set[str] = field(default_factory=set)


@dataclass
class Pace:
    """When the next picture is due, in seconds of the source's own clock."""

    every: float
    first: float  # from the first frame to the first picture
    due: float | None = None
    now: float = 0.0

    def wait(self, now: float, paused: bool) -> float:
        """Seconds until the next picture is due. Those since the last call do not count when `paused`."""
        self.due = now + self.first if self.due is None else self.due + (now - self.now if paused else 0)
        self.now = now
        return self.due - now

    def next(self) -> None:
        """A picture was taken. A camera that stalled is not made up for by a burst."""
        due = self.due or 0.0
        self.due = due + self.every if self.now - due < self.every else self.now + self.every


def session_of(name: str) -> str | None:
    """The session that a picture belongs to, by its file name; None where it is not one of ours."""
    found = NAME.fullmatch(name)
    return found[1] if found else None


def capture(
    source: str, size: tuple[int, int], out: Path, count: int, every: float, countdown: int, show: bool
) -> Captured:
    """Take `count` pictures from `source`, one every `every` seconds, and write them into the folder `out`.

    A live camera is asked for `size` (height, width), gives its newest frame each time, and starts after `countdown`
    seconds. In a video, seconds are the video's own. From a folder every picture is taken; `every` means nothing
    there. Files are named after the session, so that a later split can keep together what looks alike. Space pauses,
    u takes the last picture back, q or Escape ends. Raises CameraError, and DataError when `out` cannot be
    written; whatever was taken before is whole.
    """
    session = Session(out, count)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from error
    with ExitStack() as stack:
        stop = stack.enter_context(stopped_by_signals())
        camera = stack.enter_context(open_camera(source, size, stop))
        window = stack.enter_context(screen()) if show else None
        keys = stack.enter_context(keyboard())
        status = StatusLine()
        stack.callback(status.show, "")
        try:
            _shoot(camera, session, Pace(every, _first(camera, countdown)), _looker(window, keys, status), status, stop)
        except PocketsightError as error:
            kept = f"; {_pictures(len(session.taken))} taken before stay in {out}" if session.taken else ""
            raise type(error)(f"{error}{kept}") from error
    return Captured(session.name, out, count, tuple(session.taken))


def last_line(captured: Captured) -> str:
    """What was taken, and what to do next."""
    taken = len(captured.pictures)
    if not taken:
        return "no picture was taken"
    many = _pictures(taken) if taken == captured.count else f"{taken} of {_pictures(captured.count)}"
    word = "label" if captured.out.name == "images" else "check"
    data = captured.out.parent if captured.out.parent.name or word == "label" else captured.out
    after = f"pocketsight data {word} {shlex.quote(str(data))}"
    return f"{many} in {captured.out}, session {captured.session}; next: {after}"


def viewed(image: Image, count: str, middle: str) -> Image:
    """What the window shows: the picture as in a mirror, the count at its top and `middle` across it."""
    canvas = np.asarray(cv2.flip(image, 1), dtype=np.uint8)
    unit = max(1, round(canvas.shape[0] / 160))
    _write(canvas, count, 0.15, 0.4 * unit)
    _write(canvas, middle, 0.55, 0.9 * unit)
    return canvas


def _write(canvas: Image, text: str, height: float, scale: float) -> None:
    """White with a black edge, in the middle, `height` (0..1) down."""
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(2 * scale))
    (width, above), _ = cv2.getTextSize(text, font, scale, thick)
    corner = (canvas.shape[1] - width) // 2, round(canvas.shape[0] * height) + above // 2
    cv2.putText(canvas, text, corner, font, scale, (0, 0, 0), 3 * thick, cv2.LINE_AA)
    cv2.putText(canvas, text, corner, font, scale, (255, 255, 255), thick, cv2.LINE_AA)


Look = Callable[[Image, Session, float], str]


def _looker(window: Show | None, keys: Keys, status: StatusLine) -> Look:
    """Shows where the session stands, in the window or else on the terminal; gives the key pressed there, or ""."""

    def look(image: Image, session: Session, wait: float) -> str:
        count = f"{len(session.taken)}/{session.count}"
        left = "" if session.taken or wait <= 0 else str(math.ceil(wait))
        if window:
            return window(viewed(image, count, "PAUSED" if session.paused else left)) or keys()
        state = "PAUSED" if session.paused else f"first picture in {left} s" if left else ""
        status.show("  ".join(filter(None, (count, state, KEYS))))
        return keys()

    return look


def _first(camera: Camera, countdown: int) -> float:
    return countdown if camera.live else 0.0


def _clock(camera: Camera, frame: Frame, every: float) -> float:
    """Seconds: of this machine for a live camera, of the film for a video; each picture of a folder is due."""
    if camera.live:
        return time.monotonic()
    return frame.index / camera.fps if frame.source is None else frame.index * every


def _shoot(
    camera: Camera, session: Session, pace: Pace, look: Look, status: StatusLine, stop: threading.Event
) -> None:  # fmt: skip
    """Take pictures until there are enough, the source ends, or the person or a signal ends it."""
    for frame in camera:
        wait = pace.wait(_clock(camera, frame, pace.every), session.paused)
        _press(session, look(frame.image, session, wait))
        while session.paused and not session.ended and not camera.live and not stop.wait(0.03):
            _press(session, look(frame.image, session, wait))  # a file waits at this frame; a live camera goes on
        if session.ended or stop.is_set():
            return
        if session.paused or wait > 1e-6:
            continue
        _take(session, frame.image, status)
        pace.next()
        if len(session.taken) == session.count:
            return


def _press(session: Session, key: str) -> None:
    if key in ENDS:
        session.ended = True
    elif key == " ":
        session.paused = not session.paused
    elif key == "u" and session.taken:
        try:
            session.taken.pop().unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"the last picture cannot be taken back: {error.strerror}") from error
        session.last = None


def _take(session: Session, image: Image, status: StatusLine) -> None:
    """Write one picture, and warn of a camera that sees nothing or has stopped seeing."""
    path = session.out / f"{session.name}_{len(session.taken) + 1:04}.jpg"
    write_jpeg(path, image)
    session.taken.append(path)
    if image.mean() < BLACK:
        _warn(session, status, f"{path.name} is nearly black; is the lens covered, or is there too little light?")
    if session.last is not None and np.array_equal(image, session.last):
        _warn(session, status, f"{path.name} is the same as the one before, to the byte; does the camera hang?")
    session.last = image


def _warn(session: Session, status: StatusLine, text: str) -> None:
    kind = text.split(" ", 1)[1]
    if kind not in session.warned:
        session.warned.add(kind)
        status.warn(f"warning: {text}")


def _pictures(number: int) -> str:
    return "1 picture" if number == 1 else f"{number} pictures"
