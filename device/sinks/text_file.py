"""A file of complete lines: the common part of JSON Lines and CSV."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pocketsight.device.errors import LogError
from pocketsight.device.results import LogEntry
from pocketsight.device.sinks.base import RotationConfig
from pocketsight.device.sinks.disk import DeferredSync, convert_os_errors, file_identity
from pocketsight.device.sinks.rotation import list_rotated_files, rotated_name, select_files_to_delete

TIMESTAMP_PATTERN = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")


class TextFileSink:
    """A sink that appends lines to a file and locks it; a pipe or a device works, too.

    Other programs, such as logrotate, may rename, delete or truncate the file: the next line goes to the right one.
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
        """Open `path`. Raises LogError.

        `encode` turns entries into lines, `header` is the start of every file, and `close_torn_line` returns the
        ending for a line that a crash has cut off.
        """
        self.name, self.path, self.rotation = str(path), path, rotation
        self.encode, self.header, self.close_torn_line = encode, header, close_torn_line
        self.bytes_written = self.entries_deleted = 0
        self._fd, self._sync = -1, DeferredSync()
        with convert_os_errors(self.name):
            self._open()

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Append the lines of all entries in one call, or none of them. Raises LogError."""
        with convert_os_errors(self.name):
            if self._sync.is_due:
                self._flush()  # before appending, so that nothing is appended when this fails
            if not (data := self.encode(entries)):
                return
            self._reopen_if_moved()
            if self._is_regular:
                self._rotate_if_needed(len(data))
            self._append(data)

    def close(self) -> None:
        """Flush to the disk and close the file. Raises LogError."""
        try:
            with convert_os_errors(self.name):
                self._flush()
        finally:
            self._release()

    def _open(self) -> None:
        regular = self.path.is_file() or not self.path.exists()
        # A pipe without a reader is an error instead of a wait.
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
        """Lock a file, new or from an earlier run, and continue it."""
        self.path = Path(os.path.realpath(self.path))  # rotation renames the file, not a link to it
        _lock_file(self._fd, self.path)
        status = os.fstat(self._fd)
        self._identity, size = (status.st_dev, status.st_ino), status.st_size
        if size and os.pread(self._fd, len(self.header), 0) != self.header:
            self._rotate()  # it has other columns
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
            self._append(self.close_torn_line(torn))  # the last run was cut off in the middle of a line
        self._delete_oldest_files()

    def _reopen_if_moved(self) -> None:
        """Open the file again if another program has renamed, deleted or replaced it."""
        if self._fd >= 0 and (not self._is_regular or file_identity(self.path) == self._identity):
            return
        self._release()
        self._open()

    def _rotate_if_needed(self, added_bytes: int) -> None:
        """Start the next file if this one is too large or too old."""
        size, max_bytes, max_age = os.fstat(self._fd).st_size, self.rotation.file_max_bytes, self.rotation.max_age
        if size <= len(self.header):
            self._first_entry_time = time.time()
            return
        age = abs(time.time() - self._first_entry_time)  # abs: the clock may have been set back
        too_large = max_bytes is not None and size + added_bytes > max_bytes
        if too_large or (max_age is not None and age > max_age):
            self._rotate()

    def _rotate(self) -> None:
        self._flush()
        os.rename(self.path, rotated_name(self.path))
        self._release()
        self._open()

    def _delete_oldest_files(self) -> None:
        """Delete the oldest files, so that the rest and this file stay below the total."""
        if self.rotation.max_total_bytes is None:
            return
        max_rotated_bytes = self.rotation.max_total_bytes - (self.rotation.file_max_bytes or 0)
        for file in select_files_to_delete(list_rotated_files(self.path), max_rotated_bytes):
            with suppress(FileNotFoundError):
                deleted = _count_lines(file) - self.header.count(b"\n")
                file.unlink()
                self.entries_deleted += max(0, deleted)

    def _append(self, data: bytes) -> None:
        if not self._is_regular:
            write_all(self._fd, data)
            self.bytes_written += len(data)
            return
        size = os.fstat(self._fd).st_size
        write_all(self._fd, data if size else self.header + data)
        self._sync.mark(size)

    def _flush(self) -> None:
        if self._sync.pending:
            self.bytes_written += self._sync.flush(self._fd)

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def write_all(fd: int, data: bytes) -> None:
    """Write all data, in one call if possible. Raises OSError, and then removes what fitted on the disk."""
    written = 0
    try:
        while written < len(data):
            written += os.write(fd, data[written:])  # after a partial write the next one raises the reason
    except OSError:
        if written and stat.S_ISREG(os.fstat(fd).st_mode):
            end = os.lseek(fd, -written, os.SEEK_CUR)
            os.ftruncate(fd, end)
        raise


def _lock_file(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LogError(f"{path} is being written by another run; choose another file") from error
    except OSError:
        pass  # the file system has no locks


def _sync_directory(path: Path) -> None:
    """Flush the folder, so that the name of a new file survives a power cut."""
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _count_lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
