"""Soft labels: the votes of several people for each image, from a CSV table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.formats.base import explain_error

FILE_COLUMN = "file"
ABBREVIATION_LENGTH = 3  # "happy" matches the column "happiness"


def read_votes(file: Path, classes: tuple[str, ...]) -> dict[Path, NDArray[np.float64]]:
    """Image path -> votes (C + 1,): the counts of the C classes, then the highest count of any other column.

    A column belongs to the class of its name, else to the class that starts with the same three letters; a leading "_"
    is ignored. A reject class needs no column. Raises DataError when the table does not fit.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
        if not rows or FILE_COLUMN not in rows[0]:
            raise DataError(f"{file} is not a table of votes: it has no rows with a column `{FILE_COLUMN}`")
        headers = [name for name in rows[0] if name != FILE_COLUMN]
        columns = {name: _matching_columns(name, headers) for name in classes}
        wrong = [c for c, names in columns.items() if len(names) > 1 or not (names or c.startswith("_"))]
        if wrong:
            raise DataError(f"{file} must have exactly one column for {', '.join(wrong)}; it has: {', '.join(rows[0])}")
        used = {name for names in columns.values() for name in names}
        votes = {}
        for row in rows:
            counts = [float(row[names[0]]) if names else 0.0 for names in columns.values()]
            counts.append(max((float(row[name]) for name in headers if name not in used), default=0.0))
            if not all(0 <= count < float("inf") for count in counts):
                raise ValueError(f"a count for {row[FILE_COLUMN]} is not a number of votes")
            votes[(file.parent / row[FILE_COLUMN]).resolve()] = np.array(counts)
        return votes
    except (OSError, KeyError, IndexError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{file} is not a table of votes: {explain_error(error)}") from error


def _matching_columns(name: str, headers: list[str]) -> list[str]:
    bare = name.lstrip("_").lower()
    same = [header for header in headers if header.lower() == bare]
    abbreviation = bare[:ABBREVIATION_LENGTH]
    return same or [header for header in headers if header[:ABBREVIATION_LENGTH].lower() == abbreviation]
