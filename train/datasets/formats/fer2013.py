"""FER2013's table of faces, and the votes of FER+, as folders of classes."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.writers import atomic_path

CLASSES = "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"  # by the numbers of column `emotion`
USAGE_TO_SPLIT = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
IMAGE_SIDE = 48
NO_FACE_COLUMN = "NF"
VOTES_FILE = "ferplus.csv"


def write_class_folders(source: Path, out: Path, votes: Path | None) -> Counter[str]:
    """Write OUT/PART/CLASS/ROW.png, with votes also OUT/PART/ferplus.csv; ROW counts from 0.

    Pictures in which most voters see no face are left out. Returns the number of pictures by part, those left out as
    "no face". Raises DataError naming the line.
    """
    ballots = _read_vote_rows(votes) if votes else None
    counts: Counter[str] = Counter()
    tables: dict[str, list[list[str]]] = {}
    with atomic_path(out) as folder:
        for row, (line, emotion, usage, pixels) in enumerate(
            progress_bar(_read_rows(source), _count_lines(source) - 1, "writing")
        ):
            part, name = USAGE_TO_SPLIT[usage], f"{CLASSES[emotion]}/{row:05d}.png"
            ballot = _votes_of_row(ballots, row, usage, f"{source} line {line}", votes)
            if ballot and int(ballot[NO_FACE_COLUMN]) * 2 > sum(map(int, ballot.values())):
                counts["no face"] += 1
                continue
            path = folder / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            counts[part] += 1
            if ballot and any(map(int, ballot.values())):  # without a vote its folder alone speaks
                tables.setdefault(part, [["file", *ballot]]).append([name, *ballot.values()])
        if ballots is not None and len(ballots) != row + 1:
            raise DataError(f"{votes} has {len(ballots)} rows, {source} {row + 1}; they do not belong together")
        for part, table in tables.items():
            with (folder / part / VOTES_FILE).open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(table)
    return counts


def _count_lines(source: Path) -> int:
    with source.open("rb") as file:
        return sum(1 for _ in file)


def _read_rows(source: Path) -> Iterator[tuple[int, int, str, NDArray[np.uint8]]]:
    """Line, emotion, usage and pixels (48, 48) uint8 of each row. Raises DataError."""
    empty = True
    for line, row in _read_table(source, ("emotion", "pixels", "Usage")):
        where, empty = f"{source} line {line}", False
        if row["emotion"] not in map(str, range(len(CLASSES))):
            raise DataError(f"{where}: emotion {row['emotion']!r} is not one of 0..{len(CLASSES) - 1}")
        if row["Usage"] not in USAGE_TO_SPLIT:
            raise DataError(f"{where}: Usage {row['Usage']!r} is not one of {', '.join(USAGE_TO_SPLIT)}")
        words = row["pixels"].split()
        if len(words) != IMAGE_SIDE * IMAGE_SIDE:
            raise DataError(
                f"{where} has {len(words)} pixels, not {IMAGE_SIDE}x{IMAGE_SIDE} = {IMAGE_SIDE * IMAGE_SIDE}; was it cut short?"
            )
        try:
            pixels = np.frombuffer(bytes(map(int, words)), np.uint8).reshape(IMAGE_SIDE, IMAGE_SIDE)
        except ValueError as error:
            raise DataError(f"{where}: a pixel is not a number of 0..255: {error}") from error
        yield line, int(row["emotion"]), row["Usage"], pixels
    if empty:
        raise DataError(f"{source} has no rows")


def _read_table(path: Path, required_columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells of each row of a CSV file. Raises DataError when a column or a cell is missing."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            heads = [head.strip() for head in next(reader, [])]
            if missing := [name for name in required_columns if name not in heads]:
                raise DataError(f"{path} has no column {', '.join(missing)}; it has: {', '.join(heads)[:100]}")
            for cells in reader:
                if len(cells) != len(heads):
                    raise DataError(f"{path} line {reader.line_num} has {len(cells)} cells, its head {len(heads)}")
                yield reader.line_num, {head: cell.strip() for head, cell in zip(heads, cells, strict=True)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV table: {error}") from error


def _read_vote_rows(votes: Path) -> list[tuple[str, dict[str, str]]]:
    """Usage and counts of each row of FER+'s table. Raises DataError."""
    found = []
    for line, row in _read_table(votes, ("Usage", "neutral", "happiness", "sadness", NO_FACE_COLUMN)):
        counts = {name: cell for name, cell in row.items() if name not in ("Usage", "Image name")}
        if wrong := [cell for cell in counts.values() if not (cell.isascii() and cell.isdecimal())]:
            raise DataError(f"{votes} line {line}: {wrong[0]!r} is not a number of votes")
        found.append((row["Usage"], counts))
    return found


def _votes_of_row(
    vote_rows: list[tuple[str, dict[str, str]]] | None, row: int, usage: str, where: str, votes: Path | None
) -> dict[str, str] | None:
    """The counts for a row: the tables share nothing but their order ("Image name" skips numbers). Raises DataError."""
    if vote_rows is None:
        return None
    if row >= len(vote_rows):
        raise DataError(f"{where}: {votes} ends before it; they do not belong together")
    if vote_rows[row][0] != usage:
        raise DataError(
            f"{where} is of {usage}, but {votes} says {vote_rows[row][0]} there; the order must be the same"
        )
    return vote_rows[row][1]
