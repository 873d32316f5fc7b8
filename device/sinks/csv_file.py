"""CSV for spreadsheets: one row per face, of a frame or of an event. Faults and states are left out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pocketsight.device.results import LogEntry
from pocketsight.device.sinks.base import EVENT_COLUMNS, RotationConfig
from pocketsight.device.sinks.text_file import TextFileSink

BOX_COLUMNS = "left", "top", "right", "bottom"
CSV_COLUMNS = (
    "v",
    "time",
    "clock_synced",
    "kind",
    "id",
    *EVENT_COLUMNS,
    *BOX_COLUMNS,
    "frame",
    "source",
    "position_s",
)


def open_csv(path: Path, rotation: RotationConfig) -> TextFileSink:
    """Open a CSV file to append rows; a file with other columns is renamed. Raises LogError."""
    return TextFileSink(path, rotation, encode_csv, _format_rows([CSV_COLUMNS]), _close_torn_row)


def encode_csv(entries: Sequence[LogEntry]) -> bytes:
    """The rows of all entries about faces, in the format of RFC 4180."""
    return _format_rows([_to_row(face) for entry in entries for face in _face_entries(entry)])


def _face_entries(entry: LogEntry) -> list[LogEntry]:
    if entry["kind"] == "frame":
        return [{**entry, **face} for face in entry["faces"]]
    return [entry] if entry["kind"] == "face" else []


def _to_row(face: LogEntry) -> list[Any]:
    values = {**face, **dict(zip(BOX_COLUMNS, face["box"], strict=True))}
    return [_format_cell(values.get(name)) for name in CSV_COLUMNS]


def _format_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(value.splitlines()) if isinstance(value, str) else value  # a row is one line


def _format_rows(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _close_torn_row(torn: bytes) -> bytes:
    """The end of an incomplete row. An open quote would make a reader skip the next rows."""
    return b'"\r\n' if torn.count(b'"') % 2 else b"\r\n"
