"""CSV for spreadsheets: one row a face in a frame or an event. Faults and states are no rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pocketsight.device.record import Entry
from pocketsight.device.sinks.lines import Lines
from pocketsight.device.sinks.sink import Limits

COLUMNS = (
    "v", "time", "synced", "kind", "id", "what", "track", "sentiment", "was", "sentiment_score", "score", "start",
    "seconds", "left", "top", "right", "bottom", "frame", "source",
)  # fmt: skip


def open_table(path: Path, limits: Limits) -> Lines:
    """A CSV file to which rows are appended; one with other columns gets another name. Raises LogError."""
    return Lines(path, limits, as_rows, _text([COLUMNS]), _closing)


def as_rows(entries: Sequence[Entry]) -> bytes:
    """The rows of all entries that speak of faces, after RFC 4180."""
    return _text([_row(face) for entry in entries for face in _faces(entry)])


def _faces(entry: Entry) -> list[Entry]:
    if entry["kind"] == "frame":
        return [{**entry, **face} for face in entry["faces"]]
    return [entry] if entry["kind"] == "face" else []


def _row(face: Entry) -> list[Any]:
    values = {**face, **dict(zip(("left", "top", "right", "bottom"), face["box"], strict=True))}
    return [_cell(values.get(name)) for name in COLUMNS]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(value.splitlines()) if isinstance(value, str) else value  # a row is a line


def _text(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _closing(torn: bytes) -> bytes:
    """An open quote would swallow what follows."""
    return b'"\r\n' if torn.count(b'"') % 2 else b"\r\n"
