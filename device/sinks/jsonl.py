"""JSON Lines, in a file or on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pocketsight.device.errors import LogError
from pocketsight.device.results import LogEntry, to_json_line
from pocketsight.device.sinks.base import DiskFull, RotationConfig
from pocketsight.device.sinks.text_file import DISK_FULL_ERRNOS, TextFileSink, write_all


def open_jsonl(path: Path, rotation: RotationConfig) -> TextFileSink:
    """A file to which one line an entry is appended. Raises LogError."""
    return TextFileSink(path, rotation, encode_jsonl)


def encode_jsonl(entries: Sequence[LogEntry]) -> bytes:
    """One line of JSON an entry."""
    return b"".join(to_json_line(entry).encode() + b"\n" for entry in entries)


class StdoutSink:
    """Standard output, one line of JSON an entry, at once."""

    name = "standard output"
    batch_interval = 0.0
    entries_deleted = 0

    def __init__(self) -> None:
        self.bytes_written = 0
        if sys.stdout:
            sys.stdout.flush()

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Print them. Raises LogError when it leads to a full disk, BrokenPipeError when the reader has seen enough."""
        data = encode_jsonl(entries)
        try:
            write_all(1, data)  # past Python's buffer, which a thread must not hold when the process ends
        except BrokenPipeError:
            raise
        except OSError as error:
            kind = DiskFull if error.errno in DISK_FULL_ERRNOS else LogError
            raise kind(f"{self.name} cannot be written: {error.strerror}") from error
        self.bytes_written += len(data)

    def close(self) -> None:
        """It is not ours to close."""
