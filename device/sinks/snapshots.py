"""A picture of each face that appears, for those who ask for it. Without it no picture is ever stored."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2

from pocketsight.device.annotators.blur import FaceBlurrer
from pocketsight.device.errors import LogError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import FrameResult, LogEntry
from pocketsight.device.system.priority import lower_thread_priority
from pocketsight.device.vision.image import Image, to_rgb

BEST_FRAME_WINDOW = 1.0  # seconds after a face appeared, of which the best frame is kept
MAX_PENDING = 16  # pictures that may wait for the disk; each holds a frame in memory
CLEANUP_INTERVAL = 3600.0  # seconds between two looks for old pictures, at most
JPEG_QUALITY = 90
FILE_NAME_PATTERN = re.compile(
    r"\d{8}T\d{6}\.\d{3}Z_[\w-]+\.jpg"
)  # only these are ours, and only ours are ever deleted
SNAPSHOTS_LOST = "snapshots lost"


@dataclass(eq=False)
class PendingSnapshot:
    """The best frame so far of a face that appeared."""

    name: str
    track_id: int
    due: float  # monotonic seconds
    image: Image
    record: FrameResult
    score: float


@dataclass(frozen=True)
class StoredSnapshot:
    """A picture on the disk."""

    path: Path
    modified_at: float  # seconds since the epoch, by the file system
    size: int


class Snapshots:
    """`event` and `saw` belong to the loop and never wait; a thread writes.

    Pictures older than `days` are deleted, and the oldest while all together are larger than `size` bytes. With `blur`
    no face can be recognized in them. `tell` hears when they cannot be written. Raises LogError when `folder` cannot
    be used.
    """

    def __init__(
        self, folder: Path, retain_days: float, max_bytes: int, blur: bool, report_fault: FaultReporter | None = None
    ) -> None:
        self.folder, self.retain_days, self.max_bytes, self.report_fault = folder, retain_days, max_bytes, report_fault
        self.blur = FaceBlurrer() if blur else None
        self.pending: list[PendingSnapshot] = []
        self.lost = 0
        self.closing = False
        self.condition = threading.Condition()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.stored = deque(sorted(self._list_stored(), key=lambda kept: kept.path.name))
        except OSError as error:
            raise LogError(f"snapshots cannot be kept in {folder}: {error.strerror}") from error
        self.thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self.thread.start()

    def add_frame(self, image: Image, record: FrameResult) -> None:
        """A frame was looked at: perhaps a better one of a face that has just appeared."""
        if self.blur:
            self.blur.add_result(record)
        if not self.pending:
            return
        scores = {seen.track_id: seen.score for seen in record.faces}
        with self.condition:
            for shot in self.pending:
                score = scores.get(shot.track_id, 0.0)
                if score > shot.score and record.captured_monotonic < shot.due:
                    shot.image, shot.record, shot.score = image, record, score

    def add_event(self, entry: LogEntry, image: Image, record: FrameResult) -> None:
        """Something happened; where a face appeared, it gets a picture."""
        if entry["kind"] != "face" or entry["what"] != "appeared":
            return
        score = max((seen.score for seen in record.faces if seen.track_id == entry["track"]), default=0.0)
        with self.condition:
            if len(self.pending) >= MAX_PENDING:
                self.lost += 1
                return
            due = time.monotonic() + BEST_FRAME_WINDOW
            self.pending.append(PendingSnapshot(_file_name(entry), entry["track"], due, image, record, score))
            self.condition.notify()

    def close(self) -> None:
        """Write what is pending."""
        with self.condition:
            self.closing = True
            self.condition.notify()
        self.thread.join(timeout=2)

    def _run(self) -> None:
        lower_thread_priority()
        while True:
            self._delete_old()
            with self.condition:
                if not self.closing:
                    until = min((shot.due for shot in self.pending), default=time.monotonic() + CLEANUP_INTERVAL)
                    self.condition.wait(max(0.0, until - time.monotonic()))
                now, closing = time.monotonic(), self.closing
                due = [shot for shot in self.pending if closing or shot.due <= now]
                self.pending = [shot for shot in self.pending if shot not in due]
            for shot in due:
                self._write(shot)
            if closing:
                return

    def _write(self, snapshot: PendingSnapshot) -> None:
        image = self.blur.blur(snapshot.image, snapshot.record) if self.blur else snapshot.image
        _, data = cv2.imencode(".jpg", to_rgb(image), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        path = self.folder / snapshot.name
        try:
            _write_private(path, data.tobytes())
        except OSError as error:
            self.lost += 1
            self._report(True, f"{self.folder}: {error.strerror}; {self.lost} so far")
            return
        self.stored.append(StoredSnapshot(path, time.time(), len(data)))
        self._report(False, f"{self.folder}: written again")

    def _report(self, active: bool, detail: str) -> None:
        if self.report_fault:
            self.report_fault(SNAPSHOTS_LOST, active, detail)

    def _delete_old(self) -> None:
        """Delete what is too old, and the oldest of what is too much."""
        total = sum(kept.size for kept in self.stored)
        while self.stored and (
            total > self.max_bytes or self.stored[0].modified_at < time.time() - 86400 * self.retain_days
        ):
            oldest = self.stored.popleft()
            total -= oldest.size
            with suppress(OSError):
                oldest.path.unlink()

    def _list_stored(self) -> list[StoredSnapshot]:
        """What earlier runs left; what they did not finish is removed."""
        found = []
        for path in self.folder.iterdir():
            if FILE_NAME_PATTERN.fullmatch(path.name):
                facts = path.stat()
                found.append(StoredSnapshot(path, facts.st_mtime, facts.st_size))
            elif path.suffix == ".part" and FILE_NAME_PATTERN.fullmatch(
                path.name.removeprefix(".").removesuffix(".part")
            ):
                path.unlink()
        return found


def _file_name(entry: LogEntry) -> str:
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
