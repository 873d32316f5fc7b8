"""JSON Lines: one entry per line, in a file or on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pocketsight.device.results import LogEntry, to_json_line
from pocketsight.device.sinks.base import RotationConfig
from pocketsight.device.sinks.disk import convert_os_errors
from pocketsight.device.sinks.text_file import TextFileSink, write_all


def open_jsonl(path: Path, rotation: RotationConfig) -> TextFileSink:
    """Open a file to append lines. Raises LogError."""
    return TextFileSink(path, rotation, encode_jsonl)


def encode_jsonl(entries: Sequence[LogEntry]) -> bytes:
    """One line of JSON per entry."""
    return b"".join(to_json_line(entry).encode() + b"\n" for entry in entries)


class StdoutSink:
    """Standard output: one line of JSON per entry, written at once."""

    name = "standard output"
    batch_interval = 0.0
    entries_deleted = 0

    def __init__(self) -> None:
        self.bytes_written = 0
        if sys.stdout:
            sys.stdout.flush()

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Print the entries. Raises LogError, for example on a full disk, and BrokenPipeError as Sink.write."""
        data = encode_jsonl(entries)
        with convert_os_errors(self.name):
            write_all(1, data)  # not through Python's buffer: a thread must not hold its lock when the process ends
        self.bytes_written += len(data)

    def close(self) -> None:
        """Standard output stays open."""
