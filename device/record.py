"""The log: one JSON line for each frame. Numbers only, never pictures."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgekit.device.detector import Face
from edgekit.device.errors import LogError
from edgekit.device.sentiment import Sentiment


@dataclass(frozen=True)
class Record:
    """What was seen in one frame."""

    taken: float  # seconds since the epoch
    frame: int  # counts from 0; dropped frames leave gaps
    source: str | None  # the picture's path, where frames are pictures
    faces: list[tuple[Face, Sentiment]]
    ms: dict[str, float]  # milliseconds a stage


def to_line(record: Record) -> str:
    """The record as one line of JSON, without its end."""
    faces = [
        {
            "box": [round(side, 1) for side in face.box],
            "score": round(face.score, 3),
            "sentiment": sentiment.label,
            "sentiment_score": round(sentiment.score, 3),
        }
        for face, sentiment in record.faces
    ]
    time = datetime.fromtimestamp(record.taken, UTC).isoformat(timespec="milliseconds")
    ms = {stage: round(took, 3) for stage, took in record.ms.items()}
    line = {"time": time, "frame": record.frame, "source": record.source, "faces": faces, "ms": ms}
    if record.source is None:
        del line["source"]
    return json.dumps(line)


class Log:
    """A file to which whole lines are appended; a line that does not fit leaves no trace."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines = path, 0
        try:
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self.end = os.lseek(self.file, 0, os.SEEK_END)
            torn = self.end > 0 and os.pread(self.file, 1, self.end - 1) != b"\n"
        except OSError as error:
            raise LogError(f"{path} cannot be written: {error.strerror}") from error
        if torn:  # a power cut ended the last run in the middle of a line
            self._append(b"\n")

    def write(self, record: Record) -> None:
        """Append one record. Raises LogError when the disk is full; every line before stays whole."""
        self._append(to_line(record).encode() + b"\n")
        self.lines += 1

    def _append(self, data: bytes) -> None:
        try:
            written = os.write(self.file, data)
            if written < len(data):
                written += os.write(self.file, data[written:])  # raises with the reason
        except OSError as error:
            with suppress(OSError):  # a device has no length
                os.ftruncate(self.file, self.end)
            raise LogError(
                f"{self.path} cannot be written: {error.strerror}; its {self.lines} new lines are whole"
            ) from error
        self.end += written

    def close(self) -> None:
        os.close(self.file)


class Output:
    """Standard output as a log."""

    def __init__(self) -> None:
        self.lines = 0

    def write(self, record: Record) -> None:
        sys.stdout.write(to_line(record) + "\n")
        sys.stdout.flush()
        self.lines += 1


@contextmanager
def open_log(target: str) -> Iterator[Log | Output]:
    """A log in the file `target`, "-" being standard output. Raises LogError when it cannot be written."""
    if target == "-":
        yield Output()
        return
    log = Log(Path(target))
    try:
        yield log
    finally:
        log.close()
