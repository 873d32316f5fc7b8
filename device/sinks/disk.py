"""What all sinks on a disk share: errors, the identity of a file, and flushing at intervals."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pocketsight.device.errors import LogError
from pocketsight.device.sinks.base import DiskFull

# Seconds between two flushes: what a power cut can cost, and the wear of an SD card.
SYNC_INTERVAL = 5.0
PAGE_SIZE = 4096  # bytes: a disk writes whole pages
DISK_FULL_ERRNOS = errno.ENOSPC, errno.EDQUOT


@contextmanager
def convert_os_errors(name: str) -> Iterator[None]:
    """Raise OSError as LogError, or DiskFull, with the name of the file. BrokenPipeError passes through."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        error_type = DiskFull if error.errno in DISK_FULL_ERRNOS else LogError
        raise error_type(f"{name} cannot be written: {error.strerror}") from error


def file_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file, to notice that it was replaced; None if it does not exist."""
    with suppress(FileNotFoundError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


class DeferredSync:
    """Flushes the new bytes of a file to the disk, at most every SYNC_INTERVAL seconds."""

    def __init__(self) -> None:
        self.pending = False
        self._due, self._start = 0.0, 0

    @property
    def is_due(self) -> bool:
        """Whether there are bytes to flush, and the interval has passed."""
        return self.pending and time.monotonic() >= self._due

    def mark(self, start: int) -> None:
        """Bytes from position `start` on are new."""
        if not self.pending:
            self.pending, self._due, self._start = True, time.monotonic() + SYNC_INTERVAL, start

    def flush(self, fd: int) -> int:
        """Flush the file, and return how many bytes the disk writes. Raises OSError, once for the same bytes."""
        self.pending = False  # also when it fails: the system reports a failed write once
        os.fdatasync(fd)
        return count_page_bytes(self._start, os.fstat(fd).st_size)


def count_page_bytes(start: int, end: int) -> int:
    """Bytes that a disk writes, in whole pages, when those from `start` to `end` of a file are new."""
    return PAGE_SIZE * max(0, -(-end // PAGE_SIZE) - start // PAGE_SIZE)
