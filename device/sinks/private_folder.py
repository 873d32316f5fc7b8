"""A private folder of files that stays below a size and an age."""

from __future__ import annotations

import re
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write, part_path


@dataclass(frozen=True)
class StoredFile:
    """A file on the disk."""

    path: Path
    modified_at: float  # seconds since the epoch
    size: int  # bytes


class PrivateFolder:
    """Files that only their owner can read. Those whose name is not of the `pattern` are never deleted.

    Raises OSError when the folder cannot be used.
    """

    def __init__(self, folder: Path, pattern: re.Pattern[str], retain_days: float, max_bytes: int) -> None:
        self.folder, self.pattern, self.retain_days, self.max_bytes = folder, pattern, retain_days, max_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.stored = deque(sorted(self._list_stored(), key=lambda file: file.path.name))

    def write(self, name: str, data: bytes) -> None:
        """Write a new file. Raises DataError."""
        if not self.folder.is_dir():  # atomic_write would make one that everybody can read
            raise DataError(f"{self.folder} does not exist")
        path = self.folder / name
        atomic_write(path, data, mode=0o600)
        self.stored.append(StoredFile(path, time.time(), len(data)))

    def delete_old(self) -> None:
        """Delete files older than `retain_days`, and the oldest while all together are larger than `max_bytes`."""
        total = sum(file.size for file in self.stored)
        oldest_allowed = time.time() - 86400 * self.retain_days
        while self.stored and (total > self.max_bytes or self.stored[0].modified_at < oldest_allowed):
            oldest = self.stored.popleft()
            total -= oldest.size
            with suppress(OSError):
                oldest.path.unlink()

    def _list_stored(self) -> list[StoredFile]:
        """The files of earlier runs. Removes their incomplete files."""
        stored = []
        for path in self.folder.iterdir():
            final_path = path.with_name(path.name.removeprefix(".").removesuffix(".part"))
            if not self.pattern.fullmatch(final_path.name):
                continue
            if path == final_path:
                status = path.stat()
                stored.append(StoredFile(path, status.st_mtime, status.st_size))
            elif path == part_path(final_path):
                path.unlink()
        return stored
