"""A queue of lines that survives restarts: in order, with a size limit.

Lines that are acknowledged about as fast as they come stay in memory, which spares an SD card; others go to an SQLite
file after a moment. A line in the file survives a killed process. A power cut can cost what the kernel had not yet
written, about half a minute, and does not corrupt the file.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pocketsight.device.errors import LogError
from pocketsight.device.sinks.base import DiskFull

SCHEMA_VERSION = 1  # of the file
PAGE_SIZE = 1024  # bytes: a commit writes whole pages, so small ones wear a card less (measured: 2 KB per line, not 5)
MAX_IN_MEMORY = 100  # lines that may be in memory only
DELETE_BATCH_SIZE = 500  # acknowledged lines are deleted in batches; after kill -9 as many may be sent again
VACUUM_THRESHOLD_BYTES = 2**20  # an empty file that is larger than this is shrunk

QueuedLine = tuple[int, str]  # number, which increases; text


class Outbox:
    """First in, first out. Numbers increase while it is open. All methods are thread-safe."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open or create `path`, with a limit of `max_bytes` on the disk. Raises LogError.

        A corrupt file is renamed to `<path>.broken` and a new one is started; `quarantine_reason` has the reason.
        """
        self.path, self.max_bytes = path, max_bytes
        self.dropped = 0  # lines that were dropped or rejected since it was opened
        self.bytes_written = 0  # estimated
        self.quarantine_reason = ""
        self.has_consumer = False  # the consumer sets it while it reads lines: new ones may wait in memory
        self.last_number = self.acknowledged = 0  # numbers of the newest line and of the last acknowledged one
        self._last_stored = self._last_deleted = 0  # numbers of the newest line in the file and the last deleted one
        self._rejected: set[int] = set()  # numbers that are not yet acknowledged
        self._in_memory: deque[QueuedLine] = deque()  # lines that are not in the file; all are newer than those in it
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                self._start_new_file(error)
        except (OSError, sqlite3.Error) as error:
            raise LogError(f"{path} cannot be opened: {_describe_error(error)}") from error

    def put(self, lines: Sequence[str]) -> None:
        """Add all lines or none. Raises LogError when they fit neither on the disk nor in memory."""
        with self._lock:
            new = list(enumerate(lines, self.last_number + 1))
            fits_in_memory = self.has_consumer and len(self._in_memory) + len(new) <= MAX_IN_MEMORY
            if not fits_in_memory or self.acknowledged < self._last_stored:
                try:
                    self._write_lines([*self._in_memory, *new])
                except sqlite3.Error as error:
                    if not fits_in_memory:
                        error_type = DiskFull if "full" in str(error) else LogError
                        raise error_type(f"{self.path} cannot be written: {_describe_error(error)}") from error
                    self._in_memory.extend(new)
            else:
                self._in_memory.extend(new)
            self.last_number += len(new)

    def flush(self) -> None:
        """Write the lines that are in memory only to the file, if the disk accepts them."""
        with self._lock, suppress(sqlite3.Error):
            if self._in_memory:
                self._write_lines(list(self._in_memory))

    def peek(self, number: int, count: int) -> list[QueuedLine]:
        """Up to `count` unacknowledged lines after number `number`, oldest first."""
        with self._lock:
            number, lines = max(number, self.acknowledged), []
            if number < self._last_stored:
                query = "SELECT number, text FROM line WHERE number > ? ORDER BY number LIMIT ?"
                try:
                    lines = self._db.execute(query, (number, count)).fetchall()
                except (sqlite3.OperationalError, sqlite3.ProgrammingError):
                    return []  # locked, or closed; lines in memory must not overtake those in the file
                except sqlite3.DatabaseError as error:
                    self._recover(error)
            lines += [line for line in self._in_memory if line[0] > number][: count - len(lines)]
            return lines

    def acknowledge(self, number: int) -> None:
        """Mark all lines up to `number` as done."""
        with self._lock:
            self.acknowledged = max(self.acknowledged, number)
            self._rejected = {other for other in self._rejected if other > self.acknowledged}
            while self._in_memory and self._in_memory[0][0] <= self.acknowledged:
                self._in_memory.popleft()
            if self._last_deleted < self._last_stored and (
                self.acknowledged >= self._last_stored or self.acknowledged - self._last_deleted >= DELETE_BATCH_SIZE
            ):
                with suppress(sqlite3.Error):  # the disk may be full; they are deleted later
                    self._delete_acknowledged()

    def reject(self, number: int) -> None:
        """Count a line as dropped, because the consumer cannot deliver it; it must be acknowledged, too."""
        with self._lock:
            if number > self.acknowledged and number not in self._rejected:  # it may have been sent twice
                self._rejected.add(number)
                self.dropped += 1

    def __len__(self) -> int:
        """Unacknowledged lines."""
        return self.last_number - self.acknowledged

    @property
    def is_full(self) -> bool:
        """Whether the next lines may replace the oldest."""
        with self._lock:
            return bool(len(self)) and self._used_bytes() > 0.98 * self.max_bytes

    def close(self) -> None:
        """Write everything to the file and close it. Raises LogError when the lines in memory cannot be written."""
        with self._lock:
            self.flush()
            with suppress(sqlite3.Error):
                self._delete_acknowledged()
            with suppress(sqlite3.Error):
                self._db.close()
            if self._in_memory:
                raise LogError(f"{self.path} cannot be written; {len(self._in_memory)} events are lost")

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, timeout=1, isolation_level=None, check_same_thread=False)
        try:
            for setting in (f"page_size = {PAGE_SIZE}", "locking_mode = EXCLUSIVE", "journal_mode = WAL"):
                self._db.execute(f"PRAGMA {setting}")
            self._db.execute("PRAGMA synchronous = NORMAL")  # with WAL: survives power cuts, with few flushes
            self._check_schema()
            first, last, count = self._db.execute("SELECT min(number), max(number), count(*) FROM line").fetchone()
        except BaseException:
            self._db.close()
            raise
        self.last_number = self._last_stored = last or 0
        self.acknowledged = self._last_deleted = first - 1 if count else self.last_number
        if not count and self.path.stat().st_size > VACUUM_THRESHOLD_BYTES:
            with suppress(sqlite3.Error):  # the disk may be full
                self._db.execute("VACUUM")

    def _check_schema(self) -> None:
        """Create the table in a new file. Raises DatabaseError when an old one is corrupt or of another version."""
        (result,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if result != "ok":
            raise sqlite3.DatabaseError(result)
        if version not in (0, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"version {version}, expected {SCHEMA_VERSION}")
        if version == 0:
            with self._transaction():
                self._db.execute("CREATE TABLE IF NOT EXISTS line (number INTEGER PRIMARY KEY, text TEXT NOT NULL)")
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # a full disk may have rolled back already
                self._db.execute("ROLLBACK")
            raise

    def _write_lines(self, lines: list[QueuedLine]) -> None:
        """Write lines to the file, which include those in memory. Raises sqlite3.Error; then nothing has changed."""
        if not lines:
            return
        try:
            last_dropped = self._insert(lines)
        except (sqlite3.OperationalError, sqlite3.ProgrammingError):  # full, read-only, missing, closed: not corrupt
            raise
        except sqlite3.DatabaseError as error:
            self._recover(error)
            last_dropped = self._insert(lines)
        self._last_stored = lines[-1][0]
        self._in_memory.clear()
        self.bytes_written += sum(len(text) for _, text in lines) + 2 * PAGE_SIZE
        if last_dropped > self.acknowledged:
            self.dropped += last_dropped - self.acknowledged
            self.acknowledged = last_dropped
        self._last_deleted = max(self._last_deleted, last_dropped)

    def _insert(self, lines: list[QueuedLine]) -> int:
        """Insert lines, and delete the oldest if the limit is exceeded: returns the last deleted number, or 0."""
        with self._transaction():
            self._db.executemany("INSERT INTO line VALUES (?, ?)", lines)
            last_dropped = 0
            while self._used_bytes() > self.max_bytes:
                first, last = self._db.execute("SELECT min(number), max(number) FROM line").fetchone()
                if first is None or first == last:
                    break
                last_dropped = first + (last - first) // 100  # a hundredth at a time: deleting is slow
                self._db.execute("DELETE FROM line WHERE number <= ?", (last_dropped,))
            return last_dropped

    def _delete_acknowledged(self) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM line WHERE number <= ?", (self.acknowledged,))
        self._last_deleted = min(self.acknowledged, self._last_stored)
        self.bytes_written += 2 * PAGE_SIZE

    def _used_bytes(self) -> int:
        """Bytes of the pages of the file that are in use."""
        try:
            (pages,), (free,) = (
                self._db.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "freelist_count")
            )
        except sqlite3.Error:
            return 0
        return int(pages - free) * PAGE_SIZE

    def _recover(self, error: sqlite3.DatabaseError) -> None:
        """Replace the corrupt file by a new one. Lines that were in it are counted as dropped."""
        self.dropped += max(0, self._last_stored - self.acknowledged)
        last = self.last_number
        self._db.close()
        with suppress(OSError, sqlite3.Error):
            self._start_new_file(error)
        before_memory = self._in_memory[0][0] - 1 if self._in_memory else last
        self.last_number, self.acknowledged = last, max(self.acknowledged, before_memory)
        self._last_stored = self._last_deleted = self.acknowledged

    def _start_new_file(self, error: sqlite3.DatabaseError) -> None:
        kept = self.path.with_name(f"{self.path.name}.broken")
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                self.path.with_name(f"{self.path.name}{suffix}").replace(kept.with_name(f"{kept.name}{suffix}"))
        self.quarantine_reason = (
            f"{self.path} was corrupt ({error}); it was renamed to {kept.name}, and a new one was started"
        )
        self._open()


def _describe_error(error: OSError | sqlite3.Error) -> str:
    """The reason, without the path."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if "locked" in str(error):
        return "another run uses it; use another topic for one of them"
    return str(error)
