"""Rotated log files: their names, and which of them to delete."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

TIMESTAMP_PATTERN = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"  # without colons, which FAT and Windows do not allow


def rotated_name(path: Path, tag: str = "") -> Path:
    """An unused name for an old log file: log.jsonl becomes log.2026-11-22T04-15-00Z.jsonl.

    `tag` is inserted before the time.
    """
    stamp = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    number = 1 + max((number for when, number, _ in _find_rotated(path, tag) if when == stamp), default=0)
    return path.with_name(f"{path.stem}.{tag}{stamp}{f'_{number}' if number > 1 else ''}{path.suffix}")


def list_rotated_files(path: Path, tag: str = "") -> list[Path]:
    """All files of a log that `rotated_name` has named, oldest first."""
    return [file for _, _, file in sorted(_find_rotated(path, tag))]


def _find_rotated(path: Path, tag: str) -> list[tuple[str, int, Path]]:
    """The time, the number within that second, and the path of each file."""
    pattern = re.compile(rf"{re.escape(f'{path.stem}.{tag}')}({TIMESTAMP_PATTERN})(?:_(\d+))?{re.escape(path.suffix)}")
    matches = [(pattern.fullmatch(file.name), file) for file in path.parent.iterdir()]
    return [(match[1], int(match[2] or 1), file) for match, file in matches if match]


def select_files_to_delete(files: Sequence[Path], max_bytes: int) -> list[Path]:
    """The oldest of `files`, sorted by age, that must be deleted so that the rest takes at most `max_bytes`."""
    sizes = [file.stat().st_size for file in files]
    count = 0
    while sum(sizes[count:]) > max_bytes:
        count += 1
    return list(files[:count])
