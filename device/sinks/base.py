"""What a sink is, and how much room it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pocketsight.device.errors import LogError
from pocketsight.device.results import LogEntry

MIN_FILES = 4  # files that a total is spread over at least, so that the oldest entries can go without the newest


class DiskFull(LogError):
    """There is no room left; what waits can be written once there is."""


@dataclass(frozen=True)
class RotationConfig:
    """How much room a log in files takes. None: no limit. Only age applies to no database, whose rows go one by one."""

    max_bytes: int | None = 10_000_000  # bytes of a file before the next one is begun
    max_age: float | None = 86_400.0  # seconds between the first entries of one file and the next
    max_total_bytes: int | None = 200_000_000  # bytes of all files of a log; then the oldest are deleted

    @property
    def file_max_bytes(self) -> int | None:
        """Bytes of one file, a part of the total also where `size` is larger."""
        parts = [self.max_bytes, self.max_total_bytes and self.max_total_bytes // MIN_FILES]
        return min((part for part in parts if part is not None), default=None)


class Sink(Protocol):
    """A place for entries. Only one thread, its own, calls it; it may block."""

    name: str  # for messages: what stood behind --log, without secrets
    batch_interval: float  # seconds for which entries are gathered before they are written; 0: at once

    @property
    def bytes_written(self) -> int:
        """Written since the start, as far as the sink knows."""

    @property
    def entries_deleted(self) -> int:
        """Entries that went since the start because they were the oldest and room was short."""

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Write all of them, in order, or none. Raises LogError when they cannot be written; they come again.

        Called about once a second, without entries where there are none: time for what is overdue, as forcing to
        the disk what was written before. BrokenPipeError says that nobody reads on.
        """

    def close(self) -> None:
        """Force everything to the disk and give back what is held. Called once, also after a failed write."""
