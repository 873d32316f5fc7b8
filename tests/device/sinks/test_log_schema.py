"""log.schema.json: what every sink writes fits it, and it describes every key."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped,unused-ignore]

from pocketsight.device import sinks
from pocketsight.device.faults import ignore_fault
from pocketsight.device.inference.classifier import Classification
from pocketsight.device.results import FaceResult, FrameResult, LogEntry, frame_entry
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.sinks.base import RotationConfig
from pocketsight.device.sinks.csv_file import BOX_COLUMNS, CSV_COLUMNS
from pocketsight.device.sinks.factory import open_sinks
from pocketsight.device.sinks.mqtt.config import MqttConfig
from pocketsight.device.sinks.sqlite_schema import TABLE_COLUMNS
from pocketsight.device.vision.boxes import Box
from tests.support.brokers import broker, listening, sending
from tests.support.entries import face, fault, frame
from tests.support.processes import until

SCHEMA = json.loads((Path(sinks.__file__).parent / "log.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
FACE_IN_FRAME = Draft202012Validator({**SCHEMA["$defs"]["face_in_frame"], "$defs": SCHEMA["$defs"]})
RUN = "from pocketsight.device.cli.main import main; main()"
FILES = "log.jsonl", "log.csv", "log.db"


def result(track_id: int | None, source: str | None) -> FrameResult:
    """A frame with a face."""
    found = FaceResult(Box(1, 2, 3, 4), 0.9, Classification("happy", 0.8, 0), track_id)
    return FrameResult(1_790_000_000.25, 5.0, 3, source, [found], {"wait": 0.1, "detect": 2.0, "total": 2.5})


ENTRIES: list[LogEntry] = [
    frame_entry(result(7, None), 0.012, True),
    frame_entry(result(None, "images/a.png"), 0.012, None),
    frame(4, faces=0),
    face(0),
    face(1, "changed") | {"previous": "sad", "label_score": 0.7},
    face(2, "left", label="unsure"),
    fault(3),
    fault(4, active=False),
]


def properties(schema: Any) -> Iterator[tuple[str, Any]]:
    """All properties with their schemas, at any depth."""
    for key, value in schema.items() if isinstance(schema, dict) else ():
        if key == "properties":
            yield from value.items()
        if key not in ("if", "then", "else"):  # conditions on properties that are described elsewhere
            yield from properties(value)


def from_row(row: dict[str, str]) -> LogEntry:
    """A row of a CSV file as an entry, or as a face in a frame."""
    values: dict[str, Any] = {name: text for name, text in row.items() if text and name not in BOX_COLUMNS}
    for name in {"v", "track_id", "score", "label_score", "duration_s", "clock_synced"} & set(values):
        values[name] = json.loads(values[name])
    values["box"] = [float(row[name]) for name in BOX_COLUMNS]
    if values["kind"] == "frame":
        return {name: values[name] for name in SCHEMA["$defs"]["face_in_frame"]["properties"] if name in values}
    return {"clock_synced": None, **values}


def check_files(folder: Path) -> list[LogEntry]:
    """Validate a log in three formats, and that they agree; gives the entries."""
    entries: list[LogEntry] = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for entry in entries:
        VALIDATOR.validate(entry)
    with closing(sqlite3.connect(folder / "log.db")) as connection:
        connection.row_factory = sqlite3.Row
        for entry, row in zip(entries, connection.execute("SELECT * FROM entries ORDER BY n"), strict=True):
            assert json.loads(row["json"]) == entry
            assert [row[name] for name in ("kind", "time", "clock_synced")] == [
                entry[name] for name in ("kind", "time", "clock_synced")
            ]
            for name in set(row.keys()) & set(entry):
                assert row[name] == entry[name]
    with open(folder / "log.csv", newline="") as file:
        rows = [(row["kind"], from_row(row)) for row in csv.DictReader(file)]
    for kind, entry in rows:
        (FACE_IN_FRAME if kind == "frame" else VALIDATOR).validate(entry)
    events = [{k: v for k, v in e.items() if k != "models"} for e in entries if e["kind"] == "face"]
    assert [entry for kind, entry in rows if kind == "face"] == events
    in_frames = [found for entry in entries if entry["kind"] == "frame" for found in entry["faces"]]
    assert [entry for kind, entry in rows if kind == "frame"] == in_frames
    return entries


def test_the_schema_is_valid_and_describes_every_key() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for name, part in properties(SCHEMA):
        target = SCHEMA["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        assert {**target, **part}.get("description"), name


def test_columns_have_the_names_of_the_schema() -> None:
    names = {name for name, _ in properties(SCHEMA)}
    assert set(CSV_COLUMNS) - set(BOX_COLUMNS) <= names
    assert {name for name in TABLE_COLUMNS if not name.startswith("box_")} - {"json"} <= names


@pytest.mark.parametrize(
    "wrong",
    [
        {**face(0), "v": 1},
        {**face(0), "mood": "happy"},
        {**face(0), "previous": "sad"},
        face(0, "changed"),
        face(0, "moved"),
        {**face(0), "time": "2026-11-22 04:15"},
        {**fault(0), "active": "yes"},
        {key: value for key, value in face(0).items() if key != "box"},
        {**frame(0), "stages_ms": {"total": 1.0, "whole": 1.0}},
    ],
)
def test_other_entries_do_not_fit(wrong: LogEntry) -> None:
    assert not VALIDATOR.is_valid(wrong)


def test_files_and_databases_fit_the_schema(tmp_path: Path) -> None:
    targets = [str(tmp_path / name) for name in FILES]
    group = open_sinks(targets, RotationConfig(), MqttConfig(), RunStatus("run", ("happy", "sad")), ignore_fault)
    for entry in ENTRIES:
        group.put(entry)
    assert group.finish() == 0
    assert check_files(tmp_path) == ENTRIES


@pytest.mark.debian("mosquitto")
def test_what_a_broker_gets_fits_the_schema(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        until(lambda: bool(heard.texts("home/door/state")))  # the first one: nothing is known yet
        sent.sink.write(ENTRIES)
        sent.sees("happy", "unsure")
        sent.state.info |= {"temperature": 48.2, "throttled": False, "under_voltage": True, "faults": {"hot": "82"}}
        until(lambda: heard.last("home/door").get("faults") == ["hot"])
        until(lambda: len(heard.texts("home/door/event")) == 5)
        events = [json.loads(text) for text in heard.texts("home/door/event")]
        states = [json.loads(text) for text in heard.texts("home/door/state")]
    for entry in events + states:
        VALIDATOR.validate(entry)
    assert events == [entry for entry in ENTRIES if entry["kind"] != "frame"]
    assert {entry["kind"] for entry in states} == {"state"}


def test_the_log_of_a_real_run_fits_the_schema(tmp_path: Path) -> None:
    words = [sys.executable, "-c", RUN, "run", "--camera", "synthetic:fast", "--max-frames", "400", "--no-verify"]
    targets = [word for name in FILES for word in ("--log", str(tmp_path / name))]
    done = subprocess.run([*words, *targets], capture_output=True, text=True, env=os.environ.copy(), timeout=120)
    assert done.returncode == 0, done.stderr
    entries = check_files(tmp_path)
    assert {(entry["kind"], entry.get("event")) for entry in entries} >= {
        ("frame", None),
        ("face", "appeared"),
        ("face", "left"),
    }
