"""Sink and RotationConfig: what every target of --log provides, and its limits on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pocketsight.device.errors import LogError
from pocketsight.device.results import LogEntry

MIN_FILES = 4  # the total is divided into at least this many files, so that deleting the oldest one keeps most entries

# Keys of events that are columns in CSV files and databases.
EVENT_COLUMNS = (
    "event",
    "track_id",
    "object",
    "label",
    "previous",
    "label_score",
    "score",
    "first_seen",
    "duration_s",
)


class DiskFull(LogError):
    """The disk is full. The entries can be written when there is space again."""


@dataclass(frozen=True)
class RotationConfig:
    """Limits of a log on the disk. None: no limit. A database uses `max_total_bytes` only, and deletes rows."""

    max_bytes: int | None = 10_000_000  # size of a file before the next one is started
    max_age: float | None = 86_400.0  # seconds between the first entry of a file and that of the next one
    max_total_bytes: int | None = 200_000_000  # size of all files of a log; the oldest are deleted

    @property
    def file_max_bytes(self) -> int | None:
        """Limit of a single file, which is also a part of the total."""
        parts = [self.max_bytes, self.max_total_bytes and self.max_total_bytes // MIN_FILES]
        return min((part for part in parts if part is not None), default=None)


class Sink(Protocol):
    """A target for log entries. Only one thread calls it, that of its SinkWorker; it may block."""

    name: str  # for messages: the value of --log, without passwords
    batch_interval: float  # seconds for which entries are collected before they are written; 0: write at once

    @property
    def bytes_written(self) -> int:
        """Bytes written to the disk since the start, as far as the sink knows."""

    @property
    def entries_deleted(self) -> int:
        """Old entries that were deleted since the start, because the log reached its size limit."""

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Write all entries, in order, or none of them.

        Called about once a second, also without entries, so that a sink can flush earlier entries to the disk. Raises
        LogError when the entries cannot be written; the same entries are passed again later. Raises BrokenPipeError
        when the reader of a pipe has closed it.
        """

    def close(self) -> None:
        """Flush everything to the disk and release the file. Called once, also after a failed write."""
