"""CSV for spreadsheets: one row a face in a frame or an event. Faults and states are no rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pocketsight.device.results import LogEntry
from pocketsight.device.sinks.base import RotationConfig
from pocketsight.device.sinks.text_file import TextFileSink

CSV_COLUMNS = (
    "v",
    "time",
    "synced",
    "kind",
    "id",
    "what",
    "track",
    "sentiment",
    "was",
    "sentiment_score",
    "score",
    "start",
    "seconds",
    "left",
    "top",
    "right",
    "bottom",
    "frame",
    "source",
)


def open_csv(path: Path, rotation: RotationConfig) -> TextFileSink:
    """A CSV file to which rows are appended; one with other columns gets another name. Raises LogError."""
    return TextFileSink(path, rotation, encode_csv, _format_rows([CSV_COLUMNS]), _close_torn_row)


def encode_csv(entries: Sequence[LogEntry]) -> bytes:
    """The rows of all entries that speak of faces, after RFC 4180."""
    return _format_rows([_to_row(face) for entry in entries for face in _face_entries(entry)])


def _face_entries(entry: LogEntry) -> list[LogEntry]:
    if entry["kind"] == "frame":
        return [{**entry, **face} for face in entry["faces"]]
    return [entry] if entry["kind"] == "face" else []


def _to_row(face: LogEntry) -> list[Any]:
    values = {**face, **dict(zip(("left", "top", "right", "bottom"), face["box"], strict=True))}
    return [_format_cell(values.get(name)) for name in CSV_COLUMNS]


def _format_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(value.splitlines()) if isinstance(value, str) else value  # a row is a line


def _format_rows(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _close_torn_row(torn: bytes) -> bytes:
    """An open quote would swallow what follows."""
    return b'"\r\n' if torn.count(b'"') % 2 else b"\r\n"
