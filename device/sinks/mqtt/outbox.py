"""Lines that wait until somebody has taken them: in order, over restarts, up to a size.

While lines are taken about as fast as they come they stay in memory and no card is worn; those that wait longer than a
moment go to an SQLite file. Such a line survives the end of the process, however it comes; a power cut can cost what
the kernel had not yet written, half a minute or so, and never breaks the file.
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
PAGE_SIZE = (
    1024  # bytes; every commit writes whole pages, so small ones wear a card less (measured: 2 KB a line, not 5)
)
MAX_IN_MEMORY = 100  # lines that may be in memory only
DELETE_BATCH_SIZE = 500  # lines that were taken are deleted in such batches; after a kill -9 so many may go out again
VACUUM_THRESHOLD_BYTES = 2**20  # bytes; an empty file is made small again above this

QueuedLine = tuple[int, str]  # its number, counting up; its text


class Outbox:
    """First in, first out. Numbers go on counting for as long as it is open. Any thread may call anything."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open or make `path`, which may take `limit` bytes of the disk. Raises LogError.

        A broken file is set aside as `<path>.broken` and a new one begun; `set_aside` then tells why.
        """
        self.path, self.max_bytes = path, max_bytes
        self.dropped = 0  # lines that had to go, unsent, since it was opened
        self.bytes_written = 0  # written to the disk, about
        self.quarantine_reason = ""
        self.has_consumer = False  # set by whoever takes lines as they come: then they may wait in memory for a moment
        self.last_number = self.acknowledged = 0  # numbers: of the newest line, and of the last one that was taken
        self._last_stored = self._last_deleted = (
            0  # numbers: of the newest line in the file, and of the last one gone from it
        )
        self._in_memory: deque[QueuedLine] = deque()  # lines that are in memory only, all newer than those in the file
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
        """Add all lines or none. Raises LogError when the disk takes no more and memory should not."""
        with self._lock:
            new = list(enumerate(lines, self.last_number + 1))
            room = self.has_consumer and len(self._in_memory) + len(new) <= MAX_IN_MEMORY
            if not room or self.acknowledged < self._last_stored:
                try:
                    self._write_lines([*self._in_memory, *new])
                except sqlite3.Error as error:
                    if not room:
                        kind = DiskFull if "full" in str(error) else LogError
                        raise kind(f"{self.path} cannot be written: {_describe_error(error)}") from error
                    self._in_memory.extend(new)
            else:
                self._in_memory.extend(new)
            self.last_number += len(new)

    def flush(self) -> None:
        """Bring to the disk what is in memory only, if the disk takes it."""
        with self._lock, suppress(sqlite3.Error):
            if self._in_memory:
                self._write_lines(list(self._in_memory))

    def peek(self, number: int, count: int) -> list[QueuedLine]:
        """Up to `count` lines that come after number `number` and were not taken yet, oldest first."""
        with self._lock:
            number, lines = max(number, self.acknowledged), []
            if number < self._last_stored:
                query = "SELECT number, text FROM line WHERE number > ? ORDER BY number LIMIT ?"
                try:
                    lines = self._db.execute(query, (number, count)).fetchall()
                except (sqlite3.OperationalError, sqlite3.ProgrammingError):
                    return []  # unreadable for now, or closed; what is in memory must not overtake what is not
                except sqlite3.DatabaseError as error:
                    self._recover(error)
            lines += [line for line in self._in_memory if line[0] > number][: count - len(lines)]
            return lines

    def acknowledge(self, number: int) -> None:
        """All lines up to `number` were taken."""
        with self._lock:
            self.acknowledged = max(self.acknowledged, number)
            while self._in_memory and self._in_memory[0][0] <= self.acknowledged:
                self._in_memory.popleft()
            if self._last_deleted < self._last_stored and (
                self.acknowledged >= self._last_stored or self.acknowledged - self._last_deleted >= DELETE_BATCH_SIZE
            ):
                with suppress(sqlite3.Error):  # the disk may be full; they are deleted another time
                    self._delete_acknowledged()

    def __len__(self) -> int:
        """Lines that wait."""
        return self.last_number - self.acknowledged

    @property
    def is_full(self) -> bool:
        """Whether the next lines may cost the oldest."""
        with self._lock:
            return bool(len(self)) and self._used_bytes() > 0.98 * self.max_bytes

    def close(self) -> None:
        """Bring everything to the disk. Raises LogError when it takes no more; what was in memory is lost then."""
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
            self._db.execute("PRAGMA synchronous = NORMAL")  # with WAL: whole after a power cut, and few forced writes
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
        """Make the table in a new file. Raises DatabaseError when an old one is broken or not ours."""
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if found != "ok" or version not in (0, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(found if found != "ok" else f"it is of version {version}, not {SCHEMA_VERSION}")
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
            with suppress(sqlite3.Error):  # a full disk may have rolled it back already
                self._db.execute("ROLLBACK")
            raise

    def _write_lines(self, lines: list[QueuedLine]) -> None:
        """Write lines, and forget what is in memory. Raises sqlite3.Error; then nothing has changed."""
        if not lines:
            return
        try:
            gone = self._insert(lines)
        except (sqlite3.OperationalError, sqlite3.ProgrammingError):  # full, read-only, away, closed: not broken
            raise
        except sqlite3.DatabaseError as error:
            self._recover(error)
            gone = self._insert(lines)
        self._last_stored = lines[-1][0]
        self._in_memory.clear()
        self.bytes_written += sum(len(text) for _, text in lines) + 2 * PAGE_SIZE
        if gone > self.acknowledged:
            self.dropped += gone - self.acknowledged
            self.acknowledged = gone
        self._last_deleted = max(self._last_deleted, gone)

    def _insert(self, lines: list[QueuedLine]) -> int:
        """The number of the last line that had to go for them, 0 if none."""
        with self._transaction():
            self._db.executemany("INSERT INTO line VALUES (?, ?)", lines)
            gone = 0
            while self._used_bytes() > self.max_bytes:
                first, last = self._db.execute("SELECT min(number), max(number) FROM line").fetchone()
                if first is None or first == last:
                    break
                gone = first + (last - first) // 100  # a hundredth at a time, so that not every line pays for it
                self._db.execute("DELETE FROM line WHERE number <= ?", (gone,))
            return gone

    def _delete_acknowledged(self) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM line WHERE number <= ?", (self.acknowledged,))
        self._last_deleted = min(self.acknowledged, self._last_stored)
        self.bytes_written += 2 * PAGE_SIZE

    def _used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        try:
            (pages,), (free,) = (
                self._db.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "freelist_count")
            )
        except sqlite3.Error:
            return 0
        return int(pages - free) * PAGE_SIZE

    def _recover(self, error: sqlite3.DatabaseError) -> None:
        """Go on with a new file, as this one is broken. Lines that were only in it are counted as dropped."""
        self.dropped += max(0, self._last_stored - self.acknowledged)
        last = self.last_number
        self._db.close()
        with suppress(OSError, sqlite3.Error):
            self._start_new_file(error)
        self.last_number, self.acknowledged = (
            last,
            max(self.acknowledged, self._in_memory[0][0] - 1 if self._in_memory else last),
        )
        self._last_stored = self._last_deleted = self.acknowledged

    def _start_new_file(self, error: sqlite3.DatabaseError) -> None:
        aside = self.path.with_name(f"{self.path.name}.broken")
        for end in ("", "-wal"):
            with suppress(FileNotFoundError):
                self.path.with_name(f"{self.path.name}{end}").replace(aside.with_name(f"{aside.name}{end}"))
        self.quarantine_reason = f"{self.path} was broken ({error}); it is now {aside.name}, and a new one was begun"
        self._open()


def _describe_error(error: OSError | sqlite3.Error) -> str:
    """One clause for people."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if "locked" in str(error):
        return "another run uses it; give one of them another topic"
    return str(error)
