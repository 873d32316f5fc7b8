"""Converter of the FER2013 table of faces, and of the FER+ votes, to class folders.

https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge,
https://github.com/microsoft/FERPlus
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_path
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.layout import text_encoding

CLASSES = "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"  # numbers of column `emotion`
USAGE_TO_SPLIT = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
IMAGE_SIDE = 48  # px
NO_FACE_COLUMN = "NF"
NO_FACE = "no face"
VOTES_FILE = "ferplus.csv"


def write_class_folders(source: Path, out: Path, votes: Path | None) -> Counter[str]:
    """Write OUT/SPLIT/CLASS/ROW.png, with `votes` also OUT/SPLIT/ferplus.csv. ROW counts from 0.

    Images in which most voters see no face are left out. Returns the number of images by split, with the left out ones
    under NO_FACE. Raises DataError, naming the line.
    """
    vote_rows = _read_vote_rows(votes) if votes else None
    counts: Counter[str] = Counter()
    tables: dict[str, list[list[str]]] = {}
    with atomic_path(out) as folder:
        for row, (line, emotion, usage, pixels) in enumerate(
            progress_bar(_read_rows(source), _count_lines(source) - 1, "writing")
        ):
            split, name = USAGE_TO_SPLIT[usage], f"{CLASSES[emotion]}/{row:05d}.png"
            row_votes = _votes_of_row(vote_rows, row, usage, f"{source} line {line}", votes)
            if row_votes and int(row_votes[NO_FACE_COLUMN]) * 2 > sum(map(int, row_votes.values())):
                counts[NO_FACE] += 1
                continue
            path = folder / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            counts[split] += 1
            if row_votes and any(map(int, row_votes.values())):  # without a vote, the folder decides
                tables.setdefault(split, [["file", *row_votes]]).append([name, *row_votes.values()])
        if vote_rows is not None and len(vote_rows) != row + 1:
            raise DataError(f"{votes} has {len(vote_rows)} rows, {source} {row + 1}; they do not belong together")
        for split, table in tables.items():
            with (folder / split / VOTES_FILE).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(table)
    return counts


def _count_lines(source: Path) -> int:
    with source.open("rb") as file:
        return sum(1 for _ in file)


def _read_rows(source: Path) -> Iterator[tuple[int, int, str, NDArray[np.uint8]]]:
    """(line, emotion, usage, pixels (48, 48) uint8) of each row. Raises DataError."""
    is_empty = True
    for line, row in _read_table(source, ("emotion", "pixels", "Usage")):
        location, is_empty = f"{source} line {line}", False
        if row["emotion"] not in map(str, range(len(CLASSES))):
            raise DataError(f"{location}: emotion {row['emotion']!r} is not one of 0..{len(CLASSES) - 1}")
        if row["Usage"] not in USAGE_TO_SPLIT:
            raise DataError(f"{location}: Usage {row['Usage']!r} is not one of {', '.join(USAGE_TO_SPLIT)}")
        words = row["pixels"].split()
        if len(words) != IMAGE_SIDE * IMAGE_SIDE:
            expected = f"{IMAGE_SIDE}x{IMAGE_SIDE} = {IMAGE_SIDE * IMAGE_SIDE}"
            raise DataError(f"{location} has {len(words)} pixels, not {expected}; is it truncated?")
        try:
            pixels = np.frombuffer(bytes(map(int, words)), np.uint8).reshape(IMAGE_SIDE, IMAGE_SIDE)
        except ValueError as error:
            raise DataError(f"{location}: a pixel is not a number in 0..255: {error}") from error
        yield line, int(row["emotion"]), row["Usage"], pixels
    if is_empty:
        raise DataError(f"{source} has no rows")


def _read_table(path: Path, required_columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells by column) of each row of a CSV file. Raises DataError when a column or a cell is missing."""
    try:
        with path.open("rb") as file:
            encoding = text_encoding(file.read(2))
        with path.open(newline="", encoding=encoding) as file:
            reader = csv.reader(file)
            headers = [header.strip() for header in next(reader, [])]
            if missing := [name for name in required_columns if name not in headers]:
                raise DataError(f"{path} has no column {', '.join(missing)}; it has: {', '.join(headers)[:100]}")
            for cells in reader:
                if len(cells) != len(headers):
                    raise DataError(
                        f"{path} line {reader.line_num} has {len(cells)} cells, but there are {len(headers)} columns"
                    )
                yield reader.line_num, {name: cell.strip() for name, cell in zip(headers, cells, strict=True)}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV table: {error}") from error


def _read_vote_rows(votes: Path) -> list[tuple[str, dict[str, str]]]:
    """(usage, counts by column) of each row of the FER+ table. Raises DataError."""
    rows = []
    for line, row in _read_table(votes, ("Usage", "neutral", "happiness", "sadness", NO_FACE_COLUMN)):
        counts = {name: cell for name, cell in row.items() if name not in ("Usage", "Image name")}
        if wrong := [cell for cell in counts.values() if not (cell.isascii() and cell.isdecimal())]:
            raise DataError(f"{votes} line {line}: {wrong[0]!r} is not a number of votes")
        rows.append((row["Usage"], counts))
    return rows


def _votes_of_row(
    vote_rows: list[tuple[str, dict[str, str]]] | None, row: int, usage: str, location: str, votes: Path | None
) -> dict[str, str] | None:
    """The votes of a row. The two tables match by their order only: "Image name" skips numbers. Raises DataError."""
    if vote_rows is None:
        return None
    if row >= len(vote_rows):
        raise DataError(f"{location}: {votes} has fewer rows; they do not belong together")
    if vote_rows[row][0] != usage:
        raise DataError(
            f"{location} has Usage {usage}, but {votes} has {vote_rows[row][0]} in that row; the order must be the same"
        )
    return vote_rows[row][1]
