"""An SQLite log that you can query. It survives power cuts, and others can read it while it is written."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pocketsight.device.errors import LogError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import LogEntry, to_json_line
from pocketsight.device.sinks.base import DiskFull, RotationConfig
from pocketsight.device.sinks.disk import DeferredSync, convert_os_errors, file_identity
from pocketsight.device.sinks.rotation import list_rotated_files, rotated_name, select_files_to_delete
from pocketsight.device.sinks.sqlite_schema import TABLE_COLUMNS, ForeignDatabase, prepare_database

BUSY_TIMEOUT = 1.0  # seconds to wait for another program that writes
CHECKPOINT_BYTES = 1_000_000  # size of the write-ahead log from which it is copied into the database
WAL_MAGIC = b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"  # write-ahead log, sqlite.org/fileformat2.html, section 4.1
BROKEN_TAG = "broken-"
LOG_CORRUPT = "log corrupt"
COMPANION_SUFFIXES = "-wal", "-journal", "-shm"
INSERT_SQL = f"""
    INSERT INTO entries ({", ".join(TABLE_COLUMNS)}) VALUES ({", ".join("?" * len(TABLE_COLUMNS))})
    ON CONFLICT DO NOTHING
"""
DELETE_OLDEST_SQL = """
    DELETE FROM entries
    WHERE n < (SELECT min(n) FROM entries) + max(?, (SELECT (max(n) - min(n)) / 100 FROM entries))
"""


class SqliteSink:
    """A sink that inserts a row per entry. Any number of runs and readers may use the file at once."""

    batch_interval = 1.0

    def __init__(self, path: Path, rotation: RotationConfig, report_fault: FaultReporter) -> None:
        """Open or create `path`. Raises LogError. `report_fault` is called when the file is corrupt."""
        self.name, self.path, self.rotation, self.report_fault = str(path), path, rotation, report_fault
        self.bytes_written = self.entries_deleted = 0
        self._pending_reports: list[str] = []
        self._connection: sqlite3.Connection | None = None
        self._sync, self._checkpoint_at = DeferredSync(), CHECKPOINT_BYTES
        self._open()

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Insert all entries in one transaction; an entry whose id exists is skipped. Raises LogError."""
        while self._pending_reports:
            self.report_fault(LOG_CORRUPT, True, self._pending_reports.pop(0))
        rows = [_to_row(entry) for entry in entries]
        with self._convert_errors():
            try:
                self._reopen_if_moved()
                self._flush_if_due()
                if rows:
                    self._insert(rows)
            except sqlite3.DatabaseError as error:
                if _is_corrupt(error):
                    self._quarantine(str(error))
                raise

    def close(self) -> None:
        """Copy everything into the database file and close it."""
        if self._connection:
            with suppress(OSError):
                self._flush()  # closing does it, too, but not while others read
            with suppress(sqlite3.Error):  # others read, or the disk is full
                # Leaves a single file, which needs no write permission to be read.
                self._connection.execute("PRAGMA journal_mode=DELETE").fetchone()
            self._connection.close()
            self._connection = None

    def _open(self) -> None:
        """Open and check the database; a corrupt one is renamed."""
        with self._convert_errors():
            self._rescue_wal()
            try:
                self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_corrupt(error):
                    raise
                self._quarantine(str(error))
                self._connect()
        self._identity = file_identity(self.path)

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
            for part in ("", "-wal", "-shm") if new else ():  # incomplete
                Path(f"{self.path}{part}").unlink(missing_ok=True)
            raise
        self._connection = connection

    def _reopen_if_moved(self) -> None:
        """Open the database again if another program has renamed, deleted or replaced it."""
        if self._connection is None or file_identity(self.path) != self._identity:
            with suppress(sqlite3.Error):
                self._checkpoint()  # into the file that was moved: closing would not find it
            self.close()
            self._open()

    def _flush_if_due(self) -> None:
        """Flush commits to the disk, and copy them into the database when there are many."""
        if self._sync.is_due:
            self._flush()
        if self._wal_size() > self._checkpoint_at:
            self._checkpoint()
            # A reader still uses the rest: do not try again at once.
            self._checkpoint_at = max(CHECKPOINT_BYTES, 2 * self._wal_size())

    def _checkpoint(self) -> None:
        """Copy the write-ahead log into the database and empty it, unless a reader still needs it."""
        self._flush()
        if self._connection:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _flush(self) -> None:
        """Flush the write-ahead log. SQLite itself does so only before a checkpoint, which can be days later."""
        if not self._sync.pending:
            return
        try:
            wal = os.open(f"{self.path}-wal", os.O_RDONLY)
        except FileNotFoundError:
            self._sync.pending = False
            return
        try:
            self.bytes_written += self._sync.flush(wal)
        finally:
            os.close(wal)

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
        self._sync.mark(before)

    def _delete_oldest(self, count: int) -> None:
        """Delete the oldest hundredth, and at least `2 * count` rows, when the database has reached its limit."""
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
        """Rename a damaged write-ahead log, which SQLite would delete."""
        wal = Path(f"{self.path}-wal")
        if not wal.exists() or not wal.stat().st_size:
            return
        with open(wal, "rb") as file:
            is_valid = file.read(4) in WAL_MAGIC
        if not is_valid or not self.path.exists() or not self.path.stat().st_size:
            kept = self._rename_broken(COMPANION_SUFFIXES)
            self._pending_reports.append(
                f"{wal} was damaged or without its database; it was renamed to {kept.name}-wal"
            )

    def _quarantine(self, reason: str) -> None:
        """Rename a corrupt database, and report it with the next write."""
        with suppress(sqlite3.Error):
            self.close()
        self._connection = None
        kept = self._rename_broken(("", *COMPANION_SUFFIXES))
        if self.rotation.max_total_bytes is not None:
            broken = list_rotated_files(self.path, BROKEN_TAG)
            for file in select_files_to_delete(broken, self.rotation.max_total_bytes):
                for suffix in ("", *COMPANION_SUFFIXES):
                    Path(f"{file}{suffix}").unlink(missing_ok=True)
        self._pending_reports.append(
            f"{self.path} was corrupt ({reason}); it was renamed to {kept.name}, and a new one was started"
        )

    def _rename_broken(self, suffixes: tuple[str, ...]) -> Path:
        kept = rotated_name(self.path, BROKEN_TAG)
        for suffix in suffixes:
            with suppress(FileNotFoundError):
                os.rename(f"{self.path}{suffix}", f"{kept}{suffix}")
        return kept

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        """Raise errors of the disk as LogError; errors of our own code pass through."""
        try:
            with convert_os_errors(self.name):
                yield
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError) and not _is_corrupt(error):
                raise
            if self._is_disk_full(error):
                raise DiskFull(f"{self.path} cannot be written: the disk is full") from error
            raise LogError(f"{self.path} cannot be written: {error}") from error

    def _is_disk_full(self, error: sqlite3.Error) -> bool:
        """Whether the disk is full, which SQLite can also report as an I/O error."""
        with suppress(OSError):
            space = os.statvfs(self.path.parent)
            return _error_code(error) == sqlite3.SQLITE_FULL or space.f_bavail * space.f_frsize < 65536
        return False


def _to_row(entry: LogEntry) -> list[Any]:
    left, top, right, bottom = entry.get("box") or (None,) * 4
    values = {**entry, "box_left": left, "box_top": top, "box_right": right, "box_bottom": bottom}
    return [*(values.get(name) for name in TABLE_COLUMNS[:-1]), to_json_line(entry)]


def _is_corrupt(error: sqlite3.Error) -> bool:
    return _error_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _error_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
