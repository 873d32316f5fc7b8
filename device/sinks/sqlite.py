"""A log that can be asked: SQLite, safe against power cuts, readable by others while it is written."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pocketsight.device.errors import LogError
from pocketsight.device.events import Tell
from pocketsight.device.record import Entry, to_line
from pocketsight.device.sinks.lines import FULL, SYNC, in_pages
from pocketsight.device.sinks.older import free_name, older, surplus
from pocketsight.device.sinks.schema import COLUMNS, Foreign, prepare
from pocketsight.device.sinks.sink import DiskFull, Limits

BUSY = 1.0  # seconds to wait for another program that writes
WAL = 1_000_000  # bytes of the write-ahead log that are copied into the database at a time
MAGIC = b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"  # of a write-ahead log, sqlite.org/fileformat2.html, 4.1
MARK = "broken-"
BESIDE = "-wal", "-journal", "-shm"
ADD = f"INSERT INTO entries ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT DO NOTHING"
OLDEST = """
    DELETE FROM entries
    WHERE n < (SELECT min(n) FROM entries) + max(?, (SELECT (max(n) - min(n)) / 100 FROM entries))
"""


class Database:
    """A sink of rows. Any number of runs and readers may use the file at once."""

    interval = 1.0

    def __init__(self, path: Path, limits: Limits, tell: Tell) -> None:
        self.name, self.path, self.limits, self.tell = str(path), path, limits, tell
        self.bytes = self.deleted = 0
        self._told: list[str] = []
        self._connection: sqlite3.Connection | None = None
        self._dirty, self._due, self._from, self._copy_at = False, 0.0, 0, WAL
        self._open()

    def write(self, entries: Sequence[Entry]) -> None:
        """Add a row an entry, all in one transaction; one whose id is there already is left out. Raises LogError."""
        while self._told:
            self.tell("log broken", True, self._told.pop(0))
        rows = [_row(entry) for entry in entries]
        with self._named():
            try:
                self._find()
                self._overdue()
                if rows:
                    self._add(rows)
            except sqlite3.DatabaseError as error:
                if _is_broken(error):
                    self._set_aside(str(error))
                raise

    def close(self) -> None:
        """Copy everything into the database and close it; readers that are left find it whole."""
        if self._connection:
            with suppress(OSError):
                self._sync()  # closing does that, too, but not while others read
            with suppress(sqlite3.Error):  # others read, or the disk is full
                self._connection.execute("PRAGMA journal_mode=DELETE").fetchone()  # one file, which anybody may read
            self._connection.close()
            self._connection = None

    def _open(self) -> None:
        """Open the database and look through it; a broken one gets another name."""
        with self._named():
            self._look_at_wal()
            try:
                self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_broken(error):
                    raise
                self._set_aside(str(error))
                self._connect()
            status = os.stat(self.path)
        self._identity = status.st_dev, status.st_ino

    def _connect(self) -> None:
        new = not self.path.exists()
        connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            prepare(connection)
        except Foreign as error:
            connection.close()
            raise LogError(f"{self.path} {error}; choose another file") from error
        except BaseException:
            connection.close()
            for part in ("", "-wal", "-shm") if new else ():  # half of one helps nobody
                Path(f"{self.path}{part}").unlink(missing_ok=True)
            raise
        self._connection = connection

    def _find(self) -> None:
        """Open the database again if it is no longer where it was."""
        there = None
        with suppress(FileNotFoundError):
            status = os.stat(self.path)
            there = status.st_dev, status.st_ino
        if self._connection is None or there != self._identity:
            with suppress(sqlite3.Error):
                self._copy()  # into the file that was moved; closing does that only where it was opened
            self.close()
            self._open()

    def _overdue(self) -> None:
        """Force commits to the disk, and copy them into the database when there are many."""
        if self._dirty and time.monotonic() >= self._due:
            self._sync()
        if self._wal() > self._copy_at:
            self._copy()
            self._copy_at = max(WAL, 2 * self._wal())  # a reader was in the way: not again at once

    def _copy(self) -> None:
        """Empty the write-ahead log, unless a reader still needs it."""
        self._sync()
        if self._connection:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _sync(self) -> None:
        """SQLite itself forces nothing before it copies, which may take days."""
        if not self._dirty:
            return
        self._dirty = False  # also when it fails: the system tells of it once
        with suppress(FileNotFoundError):
            file = os.open(f"{self.path}-wal", os.O_RDONLY)
            try:
                os.fdatasync(file)
                self.bytes += in_pages(self._from, os.fstat(file).st_size)
            finally:
                os.close(file)

    def _add(self, rows: list[list[Any]]) -> None:
        assert self._connection
        before = self._wal()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._trim(len(rows))
            self._connection.executemany(ADD, rows)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        if not self._dirty:
            self._dirty, self._due, self._from = True, time.monotonic() + SYNC, before

    def _trim(self, count: int) -> None:
        """Delete the oldest hundredth, and no fewer than `count` rows, when there is no room left."""
        pages, free, size = (self._ask(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size"))
        if self.limits.total is not None and (pages - free) * size > self.limits.total:
            assert self._connection
            self.deleted += self._connection.execute(OLDEST, (2 * count,)).rowcount

    def _ask(self, statement: str) -> int:
        assert self._connection
        return int(self._connection.execute(statement).fetchone()[0])

    def _wal(self) -> int:
        with suppress(FileNotFoundError):
            return os.stat(f"{self.path}-wal").st_size
        return 0

    def _look_at_wal(self) -> None:
        """A write-ahead log that SQLite would throw away is kept under another name."""
        wal = Path(f"{self.path}-wal")
        if not wal.exists() or not wal.stat().st_size:
            return
        with open(wal, "rb") as file:
            known = file.read(4) in MAGIC
        if not known or not self.path.exists() or not self.path.stat().st_size:
            kept = self._rename(BESIDE)
            self._told.append(f"{wal} was damaged, or alone; it is kept as {kept.name}-wal, and {self.path} goes on")

    def _set_aside(self, why: str) -> None:
        """Give a broken database another name, and remember to tell of it."""
        with suppress(sqlite3.Error):
            self.close()
        self._connection = None
        kept = self._rename(("", *BESIDE))
        if self.limits.total is not None:
            for file in surplus(older(self.path, MARK), self.limits.total):
                for end in ("", *BESIDE):
                    Path(f"{file}{end}").unlink(missing_ok=True)
        self._told.append(f"{self.path} was damaged ({why}); it is kept as {kept.name}, and a new one is begun")

    def _rename(self, ends: tuple[str, ...]) -> Path:
        kept = free_name(self.path, MARK)
        for end in ends:
            with suppress(FileNotFoundError):
                os.rename(f"{self.path}{end}", f"{kept}{end}")
        return kept

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors as LogError with the file's name, but for those that are our own mistakes."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError) and not _is_broken(error):
                raise
            if self._is_full(error):
                raise DiskFull(f"{self.path} cannot be written: the disk is full") from error
            raise LogError(f"{self.path} cannot be written: {error}") from error
        except OSError as error:
            kind = DiskFull if error.errno in FULL else LogError
            raise kind(f"{self.path} cannot be written: {error.strerror}") from error

    def _is_full(self, error: sqlite3.Error) -> bool:
        """Whether the disk is, which SQLite calls an I/O error, too."""
        with suppress(OSError):
            space = os.statvfs(self.path.parent)
            return _code(error) == sqlite3.SQLITE_FULL or space.f_bavail * space.f_frsize < 65536
        return False


def _row(entry: Entry) -> list[Any]:
    left, top, right, bottom = entry.get("box") or (None,) * 4
    found = {**entry, "box_left": left, "box_top": top, "box_right": right, "box_bottom": bottom}
    return [*(found.get(name) for name in COLUMNS[:-1]), to_line(entry)]


def _is_broken(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
