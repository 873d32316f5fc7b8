"""What people voted for each picture: a CSV table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError


def read_votes(file: Path, classes: tuple[str, ...]) -> dict[Path, NDArray[np.float64]]:
    """For each picture the votes of each class, and behind them the highest count of any other column.

    A column belongs to the class of its name, or else to the one that starts with the same three letters, "_" aside.
    A class that is no answer may go without one.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
        heads = [name for name in rows[0] if name != "file"]
        columns = {c: _matching_columns(c, heads) for c in classes}
        if wrong := [c for c, names in columns.items() if len(names) > 1 or not (names or c.startswith("_"))]:
            raise DataError(f"{file} has not exactly one column for {', '.join(wrong)}; it has: {', '.join(rows[0])}")
        ours = {name for names in columns.values() for name in names}
        ballots = {}
        for row in rows:
            counts = [float(row[names[0]]) if names else 0.0 for names in columns.values()]
            counts.append(max((float(row[name]) for name in heads if name not in ours), default=0.0))
            if not all(0 <= count < float("inf") for count in counts):
                raise ValueError(f"a count for {row['file']} is not a number of votes")
            ballots[(file.parent / row["file"]).resolve()] = np.array(counts)
        return ballots
    except (OSError, KeyError, IndexError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{file} is not a table of votes with a column `file`: {error!r}") from error


def _matching_columns(name: str, columns: list[str]) -> list[str]:
    bare = name.lstrip("_").lower()
    same = [head for head in columns if head.lower() == bare]
    return same or [head for head in columns if head[:3].lower() == bare[:3]]
