"""Keeps frames that are worth labeling. Without --collect no frame is ever kept, and none is sent anywhere."""

from __future__ import annotations

import json
import queue
import re
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pocketsight.device.annotators.blur import FaceBlurrer
from pocketsight.device.errors import DataError, LogError
from pocketsight.device.faults import FaultReporter, ignore_fault
from pocketsight.device.results import FrameResult, LogEntry, StatusView, face_entry, iso_timestamp
from pocketsight.device.sinks.collect_reasons import ReasonFinder
from pocketsight.device.sinks.private_folder import PrivateFolder
from pocketsight.device.system.priority import lower_thread_priority
from pocketsight.device.vision.image import encode_jpeg
from pocketsight.device.vision.pixels import Content, reduced_image

MAX_PENDING = 8  # frames that wait for the disk
JPEG_QUALITY = 95
FILE_NAME_PATTERN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}_\d{4,}_kept\.(jpg|json)")
COLLECT_FAILING = "collecting failing"


class KeptFrame(NamedTuple):
    """A frame that waits for the disk."""

    name: str  # of its files, without suffix
    content: Content
    result: FrameResult
    reasons: list[str]


class Collector:
    """Writes frames in a thread, each with a JSON file of what the models found.

    The loop calls `add_event` and `add_frame`, which wait for the disk only where the frames come from files. Old files
    are deleted as those of snapshots. With `blur` all faces are pixelated. Raises LogError when `folder` cannot be
    used.
    """

    def __init__(
        self,
        folder: Path,
        reasons: Collection[str],
        limits: tuple[float, int],  # days and bytes
        blur: bool,
        status: StatusView,
        thresholds: Callable[[], Mapping[str, float]],
        report_fault: FaultReporter = ignore_fault,
    ) -> None:
        self.finder, self.status, self.report_fault = ReasonFinder(reasons, thresholds), status, report_fault
        self.blur = FaceBlurrer() if blur else None
        self.count = self.lost = 0
        self.queue: queue.Queue[KeptFrame | None] = queue.Queue(MAX_PENDING)
        try:
            self.folder = PrivateFolder(folder, FILE_NAME_PATTERN, *limits)
        except OSError as error:
            raise LogError(f"frames cannot be kept in {folder}: {error.strerror}") from error
        self.thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self.thread.start()

    def add_event(self, entry: LogEntry, content: Content, result: FrameResult) -> None:
        """Add an event of the frame that `add_frame` gets next."""
        self.finder.add_event(entry, result.captured_monotonic)

    def add_frame(self, content: Content, result: FrameResult) -> None:
        """Add a frame; it is kept if there is a reason."""
        if self.blur:
            self.blur.add_result(result)
        reasons = self.finder.find(content, result)
        if not reasons:
            return
        self.count += 1
        is_file = result.source is not None or result.position is not None
        try:
            self.queue.put(KeptFrame(self._make_name(result), content, result, reasons), block=is_file, timeout=10)
        except queue.Full:
            self.lost += 1

    def _make_name(self, result: FrameResult) -> str:
        """The name of a session, and a number: a run has a session for each hour, as those frames are alike.

        Image files are unrelated to each other: each is a session.
        """
        captured = datetime.fromtimestamp(result.captured_at, UTC)
        if result.source is not None:
            return f"{captured:%Y%m%dT%H%M%SZ}-{self.count & 0xFFFF:04x}_{self.count:04}_kept"
        return f"{captured:%Y%m%dT%H0000Z}-{self.status.run_id[-8:][:4]}_{self.count:04}_kept"

    def close(self) -> None:
        """Write the frames that wait, and end the thread."""
        with suppress(queue.Full):
            self.queue.put(None, timeout=2)
        self.thread.join(timeout=2)

    def _run(self) -> None:
        lower_thread_priority()
        self.folder.delete_old()
        while kept := self.queue.get():
            try:
                self._write(kept)
            except DataError as error:
                self.lost += 1
                self.report_fault(COLLECT_FAILING, True, f"{error}; {self.lost} frames lost so far")
            else:
                self.report_fault(COLLECT_FAILING, False, f"{self.folder.folder} is written again")
            self.folder.delete_old()

    def _write(self, kept: KeptFrame) -> None:
        image, result = reduced_image(kept.content), kept.result
        if self.blur:
            image = self.blur.blur(image, result)
        found = {
            "board": self.status.info.get("board") or socket.gethostname(),
            "time": iso_timestamp(result.captured_at),
            "source": result.source,
            "reasons": kept.reasons,
            "width": image.shape[1],
            "height": image.shape[0],
            "blurred": self.blur is not None,
            "models": self.status.info.get("models", {}),
            "faces": [face_entry(face) for face in result.faces],
        }
        self.folder.write(f"{kept.name}.jpg", encode_jpeg(image, JPEG_QUALITY))
        self.folder.write(f"{kept.name}.json", json.dumps(found).encode())
