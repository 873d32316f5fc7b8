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
from pocketsight.device.record import Entry
from pocketsight.device.sinks.older import free_name, older, surplus
from pocketsight.device.sinks.sink import DiskFull, Limits

SYNC = 5.0  # seconds between two forced writes: what a power cut can cost, and how often a card must bear one
PAGE = 4096  # bytes that a disk writes at least
TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")
FULL = errno.ENOSPC, errno.EDQUOT


class Lines:
    """A sink that appends to a file, which it takes for itself; a pipe or a device will do, too.

    The file may be renamed, deleted or emptied from outside, as logrotate does: the next line goes where it belongs.
    """

    interval = 1.0

    def __init__(
        self, path: Path, limits: Limits, text: Callable[[Sequence[Entry]], bytes], head: bytes = b"",
        closing: Callable[[bytes], bytes] = lambda torn: b"\n",
    ) -> None:  # fmt: skip
        """`text` makes lines of entries, `head` stands first in every file, `closing` ends a line that was torn."""
        self.name, self.path, self.limits = str(path), path, limits
        self.text, self.head, self.closing = text, head, closing
        self.bytes = self.deleted = 0
        self._file, self._dirty, self._due, self._from = -1, False, 0.0, 0
        with self._named():
            self._open()

    def write(self, entries: Sequence[Entry]) -> None:
        """Append their lines by one call, all or none. Raises LogError; what does not fit leaves no trace."""
        with self._named():
            if self._dirty and time.monotonic() >= self._due:
                self._sync()  # first, so that nothing is appended where this fails
            if not (data := self.text(entries)):
                return
            self._find()
            if self._regular:
                self._make_room(len(data))
            self._append(data)

    def close(self) -> None:
        """Force what was written to the disk. Raises LogError."""
        try:
            with self._named():
                self._sync()
        finally:
            self._give_back()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors as LogError with the file's name, but for the reader of a pipe who has seen enough."""
        try:
            yield
        except BlockingIOError as error:
            raise LogError(f"{self.path} is being written by another run; choose another file") from error
        except BrokenPipeError:
            raise
        except OSError as error:
            kind = DiskFull if error.errno in FULL else LogError
            raise kind(f"{self.path} cannot be written: {error.strerror}") from error

    def _open(self) -> None:
        regular = self.path.is_file() or not self.path.exists()
        # A pipe that nobody reads is an error instead of a wait.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND if regular else os.O_WRONLY | os.O_NONBLOCK
        self._file = os.open(self.path, flags | os.O_CLOEXEC, 0o644)
        try:
            self._regular = regular
            if regular:
                self._adopt()
            else:
                os.set_blocking(self._file, True)
                self._append(self.head)
        except BaseException:
            self._give_back()
            raise

    def _adopt(self) -> None:
        """Take a file, new or from an earlier run."""
        self.path = Path(os.path.realpath(self.path))  # so that it is not a link that gets another name
        _lock(self._file)
        status = os.fstat(self._file)
        self._identity, size = (status.st_dev, status.st_ino), status.st_size
        if size and os.pread(self._file, len(self.head), 0) != self.head:
            self._begin_next()  # of another version
            return
        if not size:
            self._begun = time.time()
            _sync_folder(self.path)
            self._trim()
            return
        first = TIME.search(os.pread(self._file, 4096, len(self.head)))
        self._begun = datetime.fromisoformat(first[0].decode()).timestamp() if first else status.st_mtime
        torn = os.pread(self._file, 65536, max(0, size - 65536)).rpartition(b"\n")[2]
        if torn:
            self._append(self.closing(torn))  # a power cut ended the last run in the middle of a line
        self._trim()

    def _find(self) -> None:
        """Open the file again if it is no longer where it was."""
        there = None
        if self._file >= 0:
            if not self._regular:
                return
            with suppress(FileNotFoundError):
                status = os.stat(self.path)
                there = status.st_dev, status.st_ino
        if self._file < 0 or there != self._identity:
            self._give_back()
            self._open()

    def _make_room(self, more: int) -> None:
        """Begin the next file if this one has grown too large or too old."""
        size, piece, age = os.fstat(self._file).st_size, self.limits.piece, self.limits.age
        if size <= len(self.head):
            self._begun = time.time()
            return
        large = piece is not None and size + more > piece
        old = age is not None and abs(time.time() - self._begun) > age  # abs: the clock may have been wrong, then set
        if large or old:
            self._begin_next()

    def _begin_next(self) -> None:
        self._sync()
        os.rename(self.path, free_name(self.path))
        self._give_back()
        self._open()

    def _trim(self) -> None:
        """Delete the oldest files, so that with this one they stay below the total."""
        if self.limits.total is None:
            return
        for file in surplus(older(self.path), self.limits.total - (self.limits.piece or 0)):
            with suppress(FileNotFoundError):
                lost = _count_lines(file) - self.head.count(b"\n")
                file.unlink()
                self.deleted += max(0, lost)

    def _append(self, data: bytes) -> None:
        if not self._regular:
            append_whole(self._file, data)
            self.bytes += len(data)
            return
        size = os.fstat(self._file).st_size
        append_whole(self._file, data if size else self.head + data)
        if not self._dirty:
            self._dirty, self._due, self._from = True, time.monotonic() + SYNC, size

    def _sync(self) -> None:
        """Force what was written to the disk, which writes whole pages."""
        if self._dirty:
            self._dirty = False  # also when it fails: the system tells of it once
            os.fdatasync(self._file)
            self.bytes += in_pages(self._from, os.fstat(self._file).st_size)

    def _give_back(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def in_pages(start: int, end: int) -> int:
    """Bytes that a disk writes when those from `start` to `end` of a file are new."""
    return PAGE * max(0, -(-end // PAGE) - start // PAGE)


def append_whole(file: int, data: bytes) -> None:
    """Write everything, by one call where that is possible. What does not fit on a disk leaves no trace: OSError."""
    written = 0
    try:
        while written < len(data):
            written += os.write(file, data[written:])  # a second try raises with the reason
    except OSError:
        if written and stat.S_ISREG(os.fstat(file).st_mode):
            end = os.lseek(file, -written, os.SEEK_CUR)
            os.ftruncate(file, end)
        raise


def _lock(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass  # a file system without locks


def _sync_folder(path: Path) -> None:
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
