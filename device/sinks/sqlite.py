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
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import LogEntry, to_json_line
from pocketsight.device.sinks.base import DiskFull, RotationConfig
from pocketsight.device.sinks.rotation import list_rotated_files, rotated_name, select_files_to_delete
from pocketsight.device.sinks.sqlite_schema import TABLE_COLUMNS, ForeignDatabase, prepare_database
from pocketsight.device.sinks.text_file import DISK_FULL_ERRNOS, SYNC_INTERVAL, count_page_bytes

BUSY_TIMEOUT = 1.0  # seconds to wait for another program that writes
CHECKPOINT_BYTES = 1_000_000  # bytes of the write-ahead log that are copied into the database at a time
WAL_MAGIC = b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"  # of a write-ahead log, sqlite.org/fileformat2.html, 4.1
BROKEN_TAG = "broken-"
COMPANION_SUFFIXES = "-wal", "-journal", "-shm"
INSERT_SQL = f"INSERT INTO entries ({', '.join(TABLE_COLUMNS)}) VALUES ({', '.join('?' * len(TABLE_COLUMNS))}) ON CONFLICT DO NOTHING"
DELETE_OLDEST_SQL = """
    DELETE FROM entries
    WHERE n < (SELECT min(n) FROM entries) + max(?, (SELECT (max(n) - min(n)) / 100 FROM entries))
"""


class SqliteSink:
    """A sink of rows. Any number of runs and readers may use the file at once."""

    batch_interval = 1.0

    def __init__(self, path: Path, rotation: RotationConfig, report_fault: FaultReporter) -> None:
        self.name, self.path, self.rotation, self.report_fault = str(path), path, rotation, report_fault
        self.bytes_written = self.entries_deleted = 0
        self._pending_reports: list[str] = []
        self._connection: sqlite3.Connection | None = None
        self._dirty, self._sync_due, self._unsynced_from, self._checkpoint_at = False, 0.0, 0, CHECKPOINT_BYTES
        self._open()

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Add a row an entry, all in one transaction; one whose id is there already is left out. Raises LogError."""
        while self._pending_reports:
            self.report_fault("log broken", True, self._pending_reports.pop(0))
        rows = [_to_row(entry) for entry in entries]
        with self._convert_errors():
            try:
                self._reopen_if_moved()
                self._sync_if_due()
                if rows:
                    self._insert(rows)
            except sqlite3.DatabaseError as error:
                if _is_corrupt(error):
                    self._quarantine(str(error))
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
        with self._convert_errors():
            self._rescue_wal()
            try:
                self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_corrupt(error):
                    raise
                self._quarantine(str(error))
                self._connect()
            status = os.stat(self.path)
        self._identity = status.st_dev, status.st_ino

    def _connect(self) -> None:
        new = not self.path.exists()
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            prepare_database(connection)
        except ForeignDatabase as error:
            connection.close()
            raise LogError(f"{self.path} {error}; choose another file") from error
        except BaseException:
            connection.close()
            for part in ("", "-wal", "-shm") if new else ():  # half of one helps nobody
                Path(f"{self.path}{part}").unlink(missing_ok=True)
            raise
        self._connection = connection

    def _reopen_if_moved(self) -> None:
        """Open the database again if it is no longer where it was."""
        there = None
        with suppress(FileNotFoundError):
            status = os.stat(self.path)
            there = status.st_dev, status.st_ino
        if self._connection is None or there != self._identity:
            with suppress(sqlite3.Error):
                self._checkpoint()  # into the file that was moved; closing does that only where it was opened
            self.close()
            self._open()

    def _sync_if_due(self) -> None:
        """Force commits to the disk, and copy them into the database when there are many."""
        if self._dirty and time.monotonic() >= self._sync_due:
            self._sync()
        if self._wal_size() > self._checkpoint_at:
            self._checkpoint()
            self._checkpoint_at = max(
                CHECKPOINT_BYTES, 2 * self._wal_size()
            )  # a reader was in the way: not again at once

    def _checkpoint(self) -> None:
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
                self.bytes_written += count_page_bytes(self._unsynced_from, os.fstat(file).st_size)
            finally:
                os.close(file)

    def _insert(self, rows: list[list[Any]]) -> None:
        assert self._connection
        before = self._wal_size()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._delete_oldest(len(rows))
            self._connection.executemany(INSERT_SQL, rows)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        if not self._dirty:
            self._dirty, self._sync_due, self._unsynced_from = True, time.monotonic() + SYNC_INTERVAL, before

    def _delete_oldest(self, count: int) -> None:
        """Delete the oldest hundredth, and no fewer than `count` rows, when there is no room left."""
        pages, free, size = (
            self._query_int(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size")
        )
        if self.rotation.max_total_bytes is not None and (pages - free) * size > self.rotation.max_total_bytes:
            assert self._connection
            self.entries_deleted += self._connection.execute(DELETE_OLDEST_SQL, (2 * count,)).rowcount

    def _query_int(self, statement: str) -> int:
        assert self._connection
        return int(self._connection.execute(statement).fetchone()[0])

    def _wal_size(self) -> int:
        with suppress(FileNotFoundError):
            return os.stat(f"{self.path}-wal").st_size
        return 0

    def _rescue_wal(self) -> None:
        """A write-ahead log that SQLite would throw away is kept under another name."""
        wal = Path(f"{self.path}-wal")
        if not wal.exists() or not wal.stat().st_size:
            return
        with open(wal, "rb") as file:
            known = file.read(4) in WAL_MAGIC
        if not known or not self.path.exists() or not self.path.stat().st_size:
            kept = self._rename_broken(COMPANION_SUFFIXES)
            self._pending_reports.append(
                f"{wal} was damaged, or alone; it is kept as {kept.name}-wal, and {self.path} goes on"
            )

    def _quarantine(self, reason: str) -> None:
        """Give a broken database another name, and remember to tell of it."""
        with suppress(sqlite3.Error):
            self.close()
        self._connection = None
        kept = self._rename_broken(("", *COMPANION_SUFFIXES))
        if self.rotation.max_total_bytes is not None:
            for file in select_files_to_delete(
                list_rotated_files(self.path, BROKEN_TAG), self.rotation.max_total_bytes
            ):
                for end in ("", *COMPANION_SUFFIXES):
                    Path(f"{file}{end}").unlink(missing_ok=True)
        self._pending_reports.append(
            f"{self.path} was damaged ({reason}); it is kept as {kept.name}, and a new one is begun"
        )

    def _rename_broken(self, suffixes: tuple[str, ...]) -> Path:
        kept = rotated_name(self.path, BROKEN_TAG)
        for end in suffixes:
            with suppress(FileNotFoundError):
                os.rename(f"{self.path}{end}", f"{kept}{end}")
        return kept

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        """Errors as LogError with the file's name, but for those that are our own mistakes."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError) and not _is_corrupt(error):
                raise
            if self._is_disk_full(error):
                raise DiskFull(f"{self.path} cannot be written: the disk is full") from error
            raise LogError(f"{self.path} cannot be written: {error}") from error
        except OSError as error:
            kind = DiskFull if error.errno in DISK_FULL_ERRNOS else LogError
            raise kind(f"{self.path} cannot be written: {error.strerror}") from error

    def _is_disk_full(self, error: sqlite3.Error) -> bool:
        """Whether the disk is, which SQLite calls an I/O error, too."""
        with suppress(OSError):
            space = os.statvfs(self.path.parent)
            return _error_code(error) == sqlite3.SQLITE_FULL or space.f_bavail * space.f_frsize < 65536
        return False


def _to_row(entry: LogEntry) -> list[Any]:
    left, top, right, bottom = entry.get("box") or (None,) * 4
    found = {**entry, "box_left": left, "box_top": top, "box_right": right, "box_bottom": bottom}
    return [*(found.get(name) for name in TABLE_COLUMNS[:-1]), to_json_line(entry)]


def _is_corrupt(error: sqlite3.Error) -> bool:
    return _error_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _error_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
