"""JSON Lines, in a file or on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pocketsight.device.errors import LogError
from pocketsight.device.record import Entry, to_line
from pocketsight.device.sinks.lines import FULL, Lines, append_whole
from pocketsight.device.sinks.sink import DiskFull, Limits


def open_jsonl(path: Path, limits: Limits) -> Lines:
    """A file to which one line an entry is appended. Raises LogError."""
    return Lines(path, limits, as_lines)


def as_lines(entries: Sequence[Entry]) -> bytes:
    """One line of JSON an entry."""
    return b"".join(to_line(entry).encode() + b"\n" for entry in entries)


class Output:
    """Standard output, one line of JSON an entry, at once."""

    name = "standard output"
    interval = 0.0
    deleted = 0

    def __init__(self) -> None:
        self.bytes = 0
        if sys.stdout:
            sys.stdout.flush()

    def write(self, entries: Sequence[Entry]) -> None:
        """Print them. Raises LogError when it leads to a full disk, BrokenPipeError when the reader has seen enough."""
        data = as_lines(entries)
        try:
            append_whole(1, data)  # past Python's buffer, which a thread must not hold when the process ends
        except BrokenPipeError:
            raise
        except OSError as error:
            kind = DiskFull if error.errno in FULL else LogError
            raise kind(f"{self.name} cannot be written: {error.strerror}") from error
        self.bytes += len(data)

    def close(self) -> None:
        """It is not ours to close."""
