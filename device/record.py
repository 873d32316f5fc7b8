"""The log: one JSON line for each frame. Numbers only, never pictures."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    """A file to which whole lines are appended; a line that does not fit leaves no trace. One run a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines = path, 0
        try:
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LogError(f"{path} cannot be written: {error.strerror}") from error
        try:
            self.regular = stat.S_ISREG(os.fstat(self.file).st_mode)  # not a pipe or a device
            if self.regular:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                end = os.fstat(self.file).st_size
                if end and os.pread(self.file, 1, end - 1) != b"\n":
                    self._append(b"\n")  # a power cut ended the last run in the middle of a line
        except BlockingIOError as error:
            os.close(self.file)
            raise LogError(f"{path} is being written by another run; choose another file") from error
        except LogError:
            os.close(self.file)
            raise

    def write(self, record: Record) -> None:
        """Append one record. Raises LogError when the disk is full; every line before stays whole."""
        self._append(to_line(record).encode() + b"\n")
        self.lines += 1

    def _append(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(self.file, data[written:])  # a second try raises with the reason
        except OSError as error:
            if self.regular and written:
                os.ftruncate(self.file, os.fstat(self.file).st_size - written)
            whole = f"its {self.lines} new lines are whole"
            raise LogError(f"{self.path} cannot be written: {error.strerror}; {whole}") from error

    def close(self) -> None:
        os.close(self.file)


class Output:
    """Standard output as a log."""

    def __init__(self) -> None:
        self.lines = 0

    def write(self, record: Record) -> None:
        """Print one record. Raises LogError when it leads to a full disk."""
        try:
            sys.stdout.write(to_line(record) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            raise  # the reader has seen enough; click ends quietly
        except OSError as error:
            raise LogError(f"standard output cannot be written: {error.strerror}") from error
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
