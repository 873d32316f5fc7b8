"""Snapshots: an image of each face that appears. Without --snapshots no image is ever stored."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pocketsight.device.annotators.blur import FaceBlurrer
from pocketsight.device.errors import DataError, LogError
from pocketsight.device.faults import FaultReporter, ignore_fault
from pocketsight.device.results import FrameResult, LogEntry
from pocketsight.device.sinks.private_folder import PrivateFolder
from pocketsight.device.system.priority import lower_thread_priority
from pocketsight.device.vision.image import encode_jpeg
from pocketsight.device.vision.pixels import Content, reduced_image

BEST_FRAME_WINDOW = 1.0  # seconds after a face appears, of which the best frame is kept
MAX_PENDING = 16  # snapshots that wait for the disk; each keeps a frame in memory
CLEANUP_INTERVAL = 3600.0  # seconds: longest time between two searches for old snapshots
JPEG_QUALITY = 90
FILE_NAME_PATTERN = re.compile(r"\d{8}T\d{6}\.\d{3}Z_[\w-]+\.jpg")
SNAPSHOTS_FAILING = "snapshots failing"


@dataclass(eq=False)
class PendingSnapshot:
    """The best frame so far of a face that has appeared."""

    name: str
    track_id: int
    due: float  # monotonic seconds
    content: Content
    result: FrameResult
    score: float  # of the detector


class Snapshots:
    """Writes snapshots in a thread. The loop calls `add_event` and `add_frame`, which never wait.

    Snapshots older than `retain_days` are deleted, and the oldest while all together are larger than `max_bytes`. With
    `blur` all faces in them are pixelated. `report_fault` is called when they cannot be written. Raises LogError when
    `folder` cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        retain_days: float,
        max_bytes: int,
        blur: bool,
        report_fault: FaultReporter = ignore_fault,
    ) -> None:
        self.report_fault = report_fault
        self.blur = FaceBlurrer() if blur else None
        self.pending: list[PendingSnapshot] = []
        self.lost = 0
        self.closing = False
        self.condition = threading.Condition()
        try:
            self.folder = PrivateFolder(folder, FILE_NAME_PATTERN, retain_days, max_bytes)
        except OSError as error:
            raise LogError(f"snapshots cannot be kept in {folder}: {error.strerror}") from error
        self.thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self.thread.start()

    def add_frame(self, content: Content, result: FrameResult) -> None:
        """Add a frame: it may be a better one of a face that has just appeared."""
        if self.blur:
            self.blur.add_result(result)
        if not self.pending:
            return
        scores = {face.track_id: face.score for face in result.faces}
        with self.condition:
            for snapshot in self.pending:
                score = scores.get(snapshot.track_id, 0.0)
                if score > snapshot.score and result.captured_monotonic < snapshot.due:
                    snapshot.content, snapshot.result, snapshot.score = content, result, score

    def add_event(self, entry: LogEntry, content: Content, result: FrameResult) -> None:
        """Add an event. When a face appears, a snapshot of it is scheduled."""
        if entry["kind"] != "face" or entry["event"] != "appeared":
            return
        track_id = entry["track_id"]
        score = max((face.score for face in result.faces if face.track_id == track_id), default=0.0)
        with self.condition:
            if len(self.pending) >= MAX_PENDING:
                self.lost += 1
                return
            due = time.monotonic() + BEST_FRAME_WINDOW
            self.pending.append(PendingSnapshot(_file_name(entry), track_id, due, content, result, score))
            self.condition.notify()

    def close(self) -> None:
        """Write pending snapshots and end the thread."""
        with self.condition:
            self.closing = True
            self.condition.notify()
        self.thread.join(timeout=2)

    def _run(self) -> None:
        lower_thread_priority()
        while True:
            self.folder.delete_old()
            with self.condition:
                if not self.closing:
                    until = min(
                        (snapshot.due for snapshot in self.pending), default=time.monotonic() + CLEANUP_INTERVAL
                    )
                    self.condition.wait(max(0.0, until - time.monotonic()))
                now, closing = time.monotonic(), self.closing
                due = [snapshot for snapshot in self.pending if closing or snapshot.due <= now]
                self.pending = [snapshot for snapshot in self.pending if snapshot not in due]
            for snapshot in due:
                self._write(snapshot)
            if closing:
                return

    def _write(self, snapshot: PendingSnapshot) -> None:
        image = reduced_image(snapshot.content)
        if self.blur:
            image = self.blur.blur(image, snapshot.result)
        data = encode_jpeg(image, JPEG_QUALITY)
        try:
            self.folder.write(snapshot.name, data)
        except DataError as error:
            self.lost += 1
            self.report_fault(SNAPSHOTS_FAILING, True, f"{error}; {self.lost} snapshots lost so far")
            return
        self.report_fault(SNAPSHOTS_FAILING, False, f"{self.folder.folder} is written again")


def _file_name(entry: LogEntry) -> str:
    """20261122T041502.250Z_20261122T041500Z-a3f2-7.jpg: the time of the event, and its id."""
    moment = entry["time"].replace("-", "").replace(":", "").removesuffix("+0000").removesuffix("Z")
    return f"{moment}Z_{re.sub(r'[^A-Za-z0-9-]', '-', str(entry['id']))}.jpg"
