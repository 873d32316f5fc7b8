"""A picture of each face that appears, for those who ask for it. Without it no picture is ever stored."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2

from pocketsight.device.background import step_back
from pocketsight.device.blur import Blur
from pocketsight.device.errors import LogError
from pocketsight.device.image import Image, to_rgb
from pocketsight.device.record import Entry, Record

WITHIN = 1.0  # seconds after a face appeared, of which the best frame is kept
PENDING = 16  # pictures that may wait for the disk; each holds a frame in memory
TIDY = 3600.0  # seconds between two looks for old pictures, at most
QUALITY = 90
NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z_[\w-]+\.jpg")  # only these are ours, and only ours are ever deleted
FAULT = "snapshots lost"

Tell = Callable[[str, bool, str], None]


@dataclass(eq=False)
class Shot:
    """The best frame so far of a face that appeared."""

    name: str
    track: int
    due: float  # monotonic seconds
    image: Image
    record: Record
    score: float


@dataclass(frozen=True)
class Kept:
    """A picture on the disk."""

    path: Path
    taken: float  # seconds since the epoch, by the file system
    size: int


class Snapshots:
    """`event` and `saw` belong to the loop and never wait; a thread writes.

    Pictures older than `days` are deleted, and the oldest while all together are larger than `size` bytes. With `blur`
    no face can be recognized in them. `tell` hears when they cannot be written. Raises LogError when `folder` cannot
    be used.
    """

    def __init__(self, folder: Path, days: float, size: int, blur: bool, tell: Tell | None = None) -> None:
        self.folder, self.days, self.size, self.tell = folder, days, size, tell
        self.blur = Blur() if blur else None
        self.pending: list[Shot] = []
        self.lost = 0
        self.closing = False
        self.ready = threading.Condition()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.kept = deque(sorted(self._found(), key=lambda kept: kept.path.name))
        except OSError as error:
            raise LogError(f"snapshots cannot be kept in {folder}: {error.strerror}") from error
        self.thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self.thread.start()

    def saw(self, image: Image, record: Record) -> None:
        """A frame was looked at: perhaps a better one of a face that has just appeared."""
        if self.blur:
            self.blur.saw(record)
        if not self.pending:
            return
        scores = {seen.track: seen.score for seen in record.faces}
        with self.ready:
            for shot in self.pending:
                score = scores.get(shot.track, 0.0)
                if score > shot.score and record.born < shot.due:
                    shot.image, shot.record, shot.score = image, record, score

    def event(self, entry: Entry, image: Image, record: Record) -> None:
        """Something happened; where a face appeared, it gets a picture."""
        if entry["kind"] != "face" or entry["what"] != "appeared":
            return
        score = max((seen.score for seen in record.faces if seen.track == entry["track"]), default=0.0)
        with self.ready:
            if len(self.pending) >= PENDING:
                self.lost += 1
                return
            due = time.monotonic() + WITHIN
            self.pending.append(Shot(_name(entry), entry["track"], due, image, record, score))
            self.ready.notify()

    def close(self) -> None:
        """Write what is pending."""
        with self.ready:
            self.closing = True
            self.ready.notify()
        self.thread.join(timeout=2)

    def _run(self) -> None:
        step_back()
        while True:
            self._tidy()
            with self.ready:
                if not self.closing:
                    until = min((shot.due for shot in self.pending), default=time.monotonic() + TIDY)
                    self.ready.wait(max(0.0, until - time.monotonic()))
                now, closing = time.monotonic(), self.closing
                due = [shot for shot in self.pending if closing or shot.due <= now]
                self.pending = [shot for shot in self.pending if shot not in due]
            for shot in due:
                self._write(shot)
            if closing:
                return

    def _write(self, shot: Shot) -> None:
        image = self.blur.cover(shot.image, shot.record) if self.blur else shot.image
        _, data = cv2.imencode(".jpg", to_rgb(image), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        path = self.folder / shot.name
        try:
            _write_private(path, data.tobytes())
        except OSError as error:
            self.lost += 1
            self._say(True, f"{self.folder}: {error.strerror}; {self.lost} so far")
            return
        self.kept.append(Kept(path, time.time(), len(data)))
        self._say(False, f"{self.folder}: written again")

    def _say(self, begun: bool, detail: str) -> None:
        if self.tell:
            self.tell(FAULT, begun, detail)

    def _tidy(self) -> None:
        """Delete what is too old, and the oldest of what is too much."""
        total = sum(kept.size for kept in self.kept)
        while self.kept and (total > self.size or self.kept[0].taken < time.time() - 86400 * self.days):
            oldest = self.kept.popleft()
            total -= oldest.size
            with suppress(OSError):
                oldest.path.unlink()

    def _found(self) -> list[Kept]:
        """What earlier runs left; what they did not finish is removed."""
        found = []
        for path in self.folder.iterdir():
            if NAME.fullmatch(path.name):
                facts = path.stat()
                found.append(Kept(path, facts.st_mtime, facts.st_size))
            elif path.suffix == ".part" and NAME.fullmatch(path.name.removeprefix(".").removesuffix(".part")):
                path.unlink()
        return found


def _name(entry: Entry) -> str:
    """20261122T041502.250Z_20261122T041500Z-a3f2-7.jpg: when the face appeared, and the event's id."""
    moment = entry["time"].replace("-", "").replace(":", "").removesuffix("+0000").removesuffix("Z")
    return f"{moment}Z_{re.sub(r'[^A-Za-z0-9-]', '-', str(entry['id']))}.jpg"


def _write_private(path: Path, data: bytes) -> None:
    """Write a file whole that only its owner may read."""
    part = path.with_name(f".{path.name}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
