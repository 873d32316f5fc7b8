"""The older files of a log: how they are named, and which of them go when room is short."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

STAMP = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"  # no colons, for the sake of FAT and Windows


def free_name(path: Path, mark: str = "") -> Path:
    """A name that nothing has yet: of log.jsonl log.2026-11-22T04-15-00Z.jsonl, with `mark` before the time."""
    stamp = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    number = 1 + max((number for when, number, _ in _found(path, mark) if when == stamp), default=0)
    return path.with_name(f"{path.stem}.{mark}{stamp}{f'_{number}' if number > 1 else ''}{path.suffix}")


def older(path: Path, mark: str = "") -> list[Path]:
    """All files that got their name from `free_name`, the oldest first."""
    return [file for _, _, file in sorted(_found(path, mark))]


def _found(path: Path, mark: str) -> list[tuple[str, int, Path]]:
    """When, the how manieth of that second, and the file."""
    pattern = re.compile(rf"{re.escape(f'{path.stem}.{mark}')}({STAMP})(?:_(\d+))?{re.escape(path.suffix)}")
    matches = [(pattern.fullmatch(file.name), file) for file in path.parent.iterdir()]
    return [(match[1], int(match[2] or 1), file) for match, file in matches if match]


def surplus(files: Sequence[Path], room: int) -> list[Path]:
    """Those of `files`, the oldest first, that must go so that the others take `room` bytes at most."""
    sizes = [file.stat().st_size for file in files]
    gone = 0
    while sum(sizes[gone:]) > room:
        gone += 1
    return list(files[:gone])
