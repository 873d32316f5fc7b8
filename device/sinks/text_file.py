"""A file of whole lines, whatever happens: what JSON Lines and CSV have in common."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pocketsight.device.errors import LogError
from pocketsight.device.results import LogEntry
from pocketsight.device.sinks.base import DiskFull, RotationConfig
from pocketsight.device.sinks.rotation import list_rotated_files, rotated_name, select_files_to_delete

SYNC_INTERVAL = 5.0  # seconds between two forced writes: what a power cut can cost, and how often a card must bear one
PAGE_SIZE = 4096  # bytes that a disk writes at least
TIMESTAMP_PATTERN = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")
DISK_FULL_ERRNOS = errno.ENOSPC, errno.EDQUOT


class TextFileSink:
    """A sink that appends to a file, which it takes for itself; a pipe or a device will do, too.

    The file may be renamed, deleted or emptied from outside, as logrotate does: the next line goes where it belongs.
    """

    batch_interval = 1.0

    def __init__(
        self,
        path: Path,
        rotation: RotationConfig,
        encode: Callable[[Sequence[LogEntry]], bytes],
        header: bytes = b"",
        close_torn_line: Callable[[bytes], bytes] = lambda torn: b"\n",
    ) -> None:
        """`text` makes lines of entries, `head` stands first in every file, `closing` ends a line that was torn."""
        self.name, self.path, self.rotation = str(path), path, rotation
        self.encode, self.header, self.close_torn_line = encode, header, close_torn_line
        self.bytes_written = self.entries_deleted = 0
        self._fd, self._dirty, self._sync_due, self._unsynced_from = -1, False, 0.0, 0
        with self._convert_errors():
            self._open()

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Append their lines by one call, all or none. Raises LogError; what does not fit leaves no trace."""
        with self._convert_errors():
            if self._dirty and time.monotonic() >= self._sync_due:
                self._sync()  # first, so that nothing is appended where this fails
            if not (data := self.encode(entries)):
                return
            self._reopen_if_moved()
            if self._is_regular:
                self._rotate_if_needed(len(data))
            self._append(data)

    def close(self) -> None:
        """Force what was written to the disk. Raises LogError."""
        try:
            with self._convert_errors():
                self._sync()
        finally:
            self._release()

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        """Errors as LogError with the file's name, but for the reader of a pipe who has seen enough."""
        try:
            yield
        except BlockingIOError as error:
            raise LogError(f"{self.path} is being written by another run; choose another file") from error
        except BrokenPipeError:
            raise
        except OSError as error:
            kind = DiskFull if error.errno in DISK_FULL_ERRNOS else LogError
            raise kind(f"{self.path} cannot be written: {error.strerror}") from error

    def _open(self) -> None:
        regular = self.path.is_file() or not self.path.exists()
        # A pipe that nobody reads is an error instead of a wait.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND if regular else os.O_WRONLY | os.O_NONBLOCK
        self._fd = os.open(self.path, flags | os.O_CLOEXEC, 0o644)
        try:
            self._is_regular = regular
            if regular:
                self._resume()
            else:
                os.set_blocking(self._fd, True)
                self._append(self.header)
        except BaseException:
            self._release()
            raise

    def _resume(self) -> None:
        """Take a file, new or from an earlier run."""
        self.path = Path(os.path.realpath(self.path))  # so that it is not a link that gets another name
        _lock_file(self._fd)
        status = os.fstat(self._fd)
        self._identity, size = (status.st_dev, status.st_ino), status.st_size
        if size and os.pread(self._fd, len(self.header), 0) != self.header:
            self._rotate()  # of another version
            return
        if not size:
            self._first_entry_time = time.time()
            _sync_directory(self.path)
            self._delete_oldest_files()
            return
        first = TIMESTAMP_PATTERN.search(os.pread(self._fd, 4096, len(self.header)))
        self._first_entry_time = datetime.fromisoformat(first[0].decode()).timestamp() if first else status.st_mtime
        torn = os.pread(self._fd, 65536, max(0, size - 65536)).rpartition(b"\n")[2]
        if torn:
            self._append(self.close_torn_line(torn))  # a power cut ended the last run in the middle of a line
        self._delete_oldest_files()

    def _reopen_if_moved(self) -> None:
        """Open the file again if it is no longer where it was."""
        there = None
        if self._fd >= 0:
            if not self._is_regular:
                return
            with suppress(FileNotFoundError):
                status = os.stat(self.path)
                there = status.st_dev, status.st_ino
        if self._fd < 0 or there != self._identity:
            self._release()
            self._open()

    def _rotate_if_needed(self, added_bytes: int) -> None:
        """Begin the next file if this one has grown too large or too old."""
        size, piece, age = os.fstat(self._fd).st_size, self.rotation.file_max_bytes, self.rotation.max_age
        if size <= len(self.header):
            self._first_entry_time = time.time()
            return
        large = piece is not None and size + added_bytes > piece
        old = (
            age is not None and abs(time.time() - self._first_entry_time) > age
        )  # abs: the clock may have been wrong, then set
        if large or old:
            self._rotate()

    def _rotate(self) -> None:
        self._sync()
        os.rename(self.path, rotated_name(self.path))
        self._release()
        self._open()

    def _delete_oldest_files(self) -> None:
        """Delete the oldest files, so that with this one they stay below the total."""
        if self.rotation.max_total_bytes is None:
            return
        for file in select_files_to_delete(
            list_rotated_files(self.path), self.rotation.max_total_bytes - (self.rotation.file_max_bytes or 0)
        ):
            with suppress(FileNotFoundError):
                lost = _count_lines(file) - self.header.count(b"\n")
                file.unlink()
                self.entries_deleted += max(0, lost)

    def _append(self, data: bytes) -> None:
        if not self._is_regular:
            write_all(self._fd, data)
            self.bytes_written += len(data)
            return
        size = os.fstat(self._fd).st_size
        write_all(self._fd, data if size else self.header + data)
        if not self._dirty:
            self._dirty, self._sync_due, self._unsynced_from = True, time.monotonic() + SYNC_INTERVAL, size

    def _sync(self) -> None:
        """Force what was written to the disk, which writes whole pages."""
        if self._dirty:
            self._dirty = False  # also when it fails: the system tells of it once
            os.fdatasync(self._fd)
            self.bytes_written += count_page_bytes(self._unsynced_from, os.fstat(self._fd).st_size)

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def count_page_bytes(start: int, end: int) -> int:
    """Bytes that a disk writes when those from `start` to `end` of a file are new."""
    return PAGE_SIZE * max(0, -(-end // PAGE_SIZE) - start // PAGE_SIZE)


def write_all(fd: int, data: bytes) -> None:
    """Write everything, by one call where that is possible. What does not fit on a disk leaves no trace: OSError."""
    written = 0
    try:
        while written < len(data):
            written += os.write(fd, data[written:])  # a second try raises with the reason
    except OSError:
        if written and stat.S_ISREG(os.fstat(fd).st_mode):
            end = os.lseek(fd, -written, os.SEEK_CUR)
            os.ftruncate(fd, end)
        raise


def _lock_file(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass  # a file system without locks


def _sync_directory(path: Path) -> None:
    """Make a new name last."""
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _count_lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
