"""The older files of a log: how they are named, and which of them go when room is short."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

TIMESTAMP_PATTERN = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"  # no colons, for the sake of FAT and Windows


def rotated_name(path: Path, tag: str = "") -> Path:
    """A name that nothing has yet: of log.jsonl log.2026-11-22T04-15-00Z.jsonl, with `mark` before the time."""
    stamp = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    number = 1 + max((number for when, number, _ in _find_rotated(path, tag) if when == stamp), default=0)
    return path.with_name(f"{path.stem}.{tag}{stamp}{f'_{number}' if number > 1 else ''}{path.suffix}")


def list_rotated_files(path: Path, tag: str = "") -> list[Path]:
    """All files that got their name from `free_name`, the oldest first."""
    return [file for _, _, file in sorted(_find_rotated(path, tag))]


def _find_rotated(path: Path, tag: str) -> list[tuple[str, int, Path]]:
    """When, the how manieth of that second, and the file."""
    pattern = re.compile(rf"{re.escape(f'{path.stem}.{tag}')}({TIMESTAMP_PATTERN})(?:_(\d+))?{re.escape(path.suffix)}")
    matches = [(pattern.fullmatch(file.name), file) for file in path.parent.iterdir()]
    return [(match[1], int(match[2] or 1), file) for match, file in matches if match]


def select_files_to_delete(files: Sequence[Path], max_bytes: int) -> list[Path]:
    """Those of `files`, the oldest first, that must go so that the others take `room` bytes at most."""
    sizes = [file.stat().st_size for file in files]
    gone = 0
    while sum(sizes[gone:]) > max_bytes:
        gone += 1
    return list(files[:gone])
