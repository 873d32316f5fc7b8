"""Atomic writes: a file has its old or its new content, also when the process dies or the disk is full."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError


def part_path(path: Path, ending: str = "") -> Path:
    """The hidden temporary name of a file that is being written, in the same folder."""
    return path.with_name(f".{path.name}.part{ending}")


def atomic_write(path: Path, data: bytes | str, mode: int = 0o666) -> None:
    """Write a temporary file, flush it to the disk and rename it to `path`. Makes missing folders.

    Text is encoded as UTF-8. `mode` are the permissions of the new file before the umask: 0o600 for private files.
    Raises DataError when the file cannot be written; the old one is kept.
    """
    part = part_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # left by a process that died; never written through: it may be a link
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise DataError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def atomic_path(path: Path, ending: str = "") -> Iterator[Path]:
    """A temporary path in the folder of `path`, for code that writes a file or a folder by its name.

    It becomes `path` when the block ends, and is removed when the block raises. It does not exist yet; missing parent
    folders are made. `ending` is appended to the temporary name, for writers that choose a format by it (".mp4").
    Raises DataError when the block or the renaming raises OSError.
    """
    path = Path(os.path.abspath(path))  # "." has no name
    part = part_path(path, ending)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if part.is_file():
            _flush_to_disk(part)
        os.replace(part, path)
    except OSError as error:
        where = f": {error.filename}" if error.filename and error.filename != str(part) else ""
        raise DataError(f"{path} cannot be written: {error.strerror}{where}") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            with suppress(OSError):
                part.unlink()


def _flush_to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_json(path: Path, data: Any) -> None:
    """Write `data` as indented JSON. Raises DataError when the file cannot be written."""
    atomic_write(path, json.dumps(data, indent=1) + "\n")
