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
from pocketsight.device.sinks.sink import DiskFull

VERSION = 1  # of the file
PAGE = 1024  # bytes; every commit writes whole pages, so small ones wear a card less (measured: 2 KB a line, not 5)
HELD = 100  # lines that may be in memory only
BATCH = 500  # lines that were taken are deleted in such batches; after a kill -9 so many may go out again
LARGE = 2**20  # bytes; an empty file is made small again above this

Line = tuple[int, str]  # its number, counting up; its text


class Outbox:
    """First in, first out. Numbers go on counting for as long as it is open. Any thread may call anything."""

    def __init__(self, path: Path, limit: int) -> None:
        """Open or make `path`, which may take `limit` bytes of the disk. Raises LogError.

        A broken file is set aside as `<path>.broken` and a new one begun; `set_aside` then tells why.
        """
        self.path, self.limit = path, limit
        self.dropped = 0  # lines that had to go, unsent, since it was opened
        self.bytes = 0  # written to the disk, about
        self.set_aside = ""
        self.live = False  # set by whoever takes lines as they come: then they may wait in memory for a moment
        self.last = self.taken = 0  # numbers: of the newest line, and of the last one that was taken
        self._stored = self._deleted = 0  # numbers: of the newest line in the file, and of the last one gone from it
        self._held: deque[Line] = deque()  # lines that are in memory only, all newer than those in the file
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                self._begin_anew(error)
        except (OSError, sqlite3.Error) as error:
            raise LogError(f"{path} cannot be opened: {_why(error)}") from error

    def put(self, lines: Sequence[str]) -> None:
        """Add all lines or none. Raises LogError when the disk takes no more and memory should not."""
        with self._lock:
            new = list(enumerate(lines, self.last + 1))
            room = self.live and len(self._held) + len(new) <= HELD
            if not room or self.taken < self._stored:
                try:
                    self._store([*self._held, *new])
                except sqlite3.Error as error:
                    if not room:
                        kind = DiskFull if "full" in str(error) else LogError
                        raise kind(f"{self.path} cannot be written: {_why(error)}") from error
                    self._held.extend(new)
            else:
                self._held.extend(new)
            self.last += len(new)

    def settle(self) -> None:
        """Bring to the disk what is in memory only, if the disk takes it."""
        with self._lock, suppress(sqlite3.Error):
            if self._held:
                self._store(list(self._held))

    def after(self, number: int, count: int) -> list[Line]:
        """Up to `count` lines that come after number `number` and were not taken yet, oldest first."""
        with self._lock:
            number, lines = max(number, self.taken), []
            if number < self._stored:
                query = "SELECT number, text FROM line WHERE number > ? ORDER BY number LIMIT ?"
                try:
                    lines = self._db.execute(query, (number, count)).fetchall()
                except (sqlite3.OperationalError, sqlite3.ProgrammingError):
                    return []  # unreadable for now, or closed; what is in memory must not overtake what is not
                except sqlite3.DatabaseError as error:
                    self._mend(error)
            lines += [line for line in self._held if line[0] > number][: count - len(lines)]
            return lines

    def forget(self, number: int) -> None:
        """All lines up to `number` were taken."""
        with self._lock:
            self.taken = max(self.taken, number)
            while self._held and self._held[0][0] <= self.taken:
                self._held.popleft()
            if self._deleted < self._stored and (self.taken >= self._stored or self.taken - self._deleted >= BATCH):
                with suppress(sqlite3.Error):  # the disk may be full; they are deleted another time
                    self._delete()

    def __len__(self) -> int:
        """Lines that wait."""
        return self.last - self.taken

    @property
    def full(self) -> bool:
        """Whether the next lines may cost the oldest."""
        with self._lock:
            return bool(len(self)) and self._used() > 0.98 * self.limit

    def close(self) -> None:
        """Bring everything to the disk. Raises LogError when it takes no more; what was in memory is lost then."""
        with self._lock:
            self.settle()
            with suppress(sqlite3.Error):
                self._delete()
            with suppress(sqlite3.Error):
                self._db.close()
            if self._held:
                raise LogError(f"{self.path} cannot be written; {len(self._held)} events are lost")

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, timeout=1, isolation_level=None, check_same_thread=False)
        try:
            for setting in (f"page_size = {PAGE}", "locking_mode = EXCLUSIVE", "journal_mode = WAL"):
                self._db.execute(f"PRAGMA {setting}")
            self._db.execute("PRAGMA synchronous = NORMAL")  # with WAL: whole after a power cut, and few forced writes
            self._check()
            first, last, count = self._db.execute("SELECT min(number), max(number), count(*) FROM line").fetchone()
        except BaseException:
            self._db.close()
            raise
        self.last = self._stored = last or 0
        self.taken = self._deleted = first - 1 if count else self.last
        if not count and self.path.stat().st_size > LARGE:
            with suppress(sqlite3.Error):  # the disk may be full
                self._db.execute("VACUUM")

    def _check(self) -> None:
        """Make the table in a new file. Raises DatabaseError when an old one is broken or not ours."""
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if found != "ok" or version not in (0, VERSION):
            raise sqlite3.DatabaseError(found if found != "ok" else f"it is of version {version}, not {VERSION}")
        if version == 0:
            with self._transaction():
                self._db.execute("CREATE TABLE IF NOT EXISTS line (number INTEGER PRIMARY KEY, text TEXT NOT NULL)")
                self._db.execute(f"PRAGMA user_version = {VERSION}")

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

    def _store(self, lines: list[Line]) -> None:
        """Write lines, and forget what is in memory. Raises sqlite3.Error; then nothing has changed."""
        if not lines:
            return
        try:
            gone = self._insert(lines)
        except (sqlite3.OperationalError, sqlite3.ProgrammingError):  # full, read-only, away, closed: not broken
            raise
        except sqlite3.DatabaseError as error:
            self._mend(error)
            gone = self._insert(lines)
        self._stored = lines[-1][0]
        self._held.clear()
        self.bytes += sum(len(text) for _, text in lines) + 2 * PAGE
        if gone > self.taken:
            self.dropped += gone - self.taken
            self.taken = gone
        self._deleted = max(self._deleted, gone)

    def _insert(self, lines: list[Line]) -> int:
        """The number of the last line that had to go for them, 0 if none."""
        with self._transaction():
            self._db.executemany("INSERT INTO line VALUES (?, ?)", lines)
            gone = 0
            while self._used() > self.limit:
                first, last = self._db.execute("SELECT min(number), max(number) FROM line").fetchone()
                if first is None or first == last:
                    break
                gone = first + (last - first) // 100  # a hundredth at a time, so that not every line pays for it
                self._db.execute("DELETE FROM line WHERE number <= ?", (gone,))
            return gone

    def _delete(self) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM line WHERE number <= ?", (self.taken,))
        self._deleted = min(self.taken, self._stored)
        self.bytes += 2 * PAGE

    def _used(self) -> int:
        """Bytes of the file that hold something."""
        try:
            (pages,), (free,) = (
                self._db.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "freelist_count")
            )
        except sqlite3.Error:
            return 0
        return int(pages - free) * PAGE

    def _mend(self, error: sqlite3.DatabaseError) -> None:
        """Go on with a new file, as this one is broken. Lines that were only in it are counted as dropped."""
        self.dropped += max(0, self._stored - self.taken)
        last = self.last
        self._db.close()
        with suppress(OSError, sqlite3.Error):
            self._begin_anew(error)
        self.last, self.taken = last, max(self.taken, self._held[0][0] - 1 if self._held else last)
        self._stored = self._deleted = self.taken

    def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        aside = self.path.with_name(f"{self.path.name}.broken")
        for end in ("", "-wal"):
            with suppress(FileNotFoundError):
                self.path.with_name(f"{self.path.name}{end}").replace(aside.with_name(f"{aside.name}{end}"))
        self.set_aside = f"{self.path} was broken ({error}); it is now {aside.name}, and a new one was begun"
        self._open()


def _why(error: OSError | sqlite3.Error) -> str:
    """One clause for people."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if "locked" in str(error):
        return "another run uses it; give one of them another topic"
    return str(error)
