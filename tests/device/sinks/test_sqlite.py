"""The log as a database."""

import json
import os
import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.errors import LogError
from pocketsight.device.sinks import sqlite_schema
from pocketsight.device.sinks.base import RotationConfig
from pocketsight.device.sinks.sqlite import CHECKPOINT_BYTES, SqliteSink
from pocketsight.device.sinks.worker import SinkWorker
from tests.support.entries import face, fault, frame

Reports = list[tuple[str, bool, str]]


def opened(path: Path, total: int | None = None, reports: Reports | None = None) -> SqliteSink:
    return SqliteSink(
        path, RotationConfig(None, None, total), lambda *fault: (reports if reports is not None else []).append(fault)
    )


def write(path: Path, *numbers: int, reports: Reports | None = None) -> None:
    """One batch of faces, and the end."""
    log = opened(path, reports=reports)
    log.write([face(number) for number in numbers])
    log.close()


def asked(path: Path, question: str) -> list[Any]:
    """What another program finds."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(question).fetchall()


def numbers(path: Path) -> list[int]:
    """Of the faces, in the order of writing."""
    return [int(one.rpartition("-")[2]) for (one,) in asked(path, "SELECT id FROM entries ORDER BY n")]


def test_entries_become_rows_that_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = opened(path)
    log.write([face(0), fault(1), frame(2, faces=2), face(3, "changed") | {"previous": "sad", "more": "kept"}])
    found = asked(
        path, "SELECT kind, event, label, previous, score, duration_s, box_right FROM entries ORDER BY time, n"
    )
    assert found == [
        ("face", "appeared", "happy", None, 0.8, 1.5, 3.0),
        ("fault", "camera lost", None, None, None, None, None),
        ("frame", None, None, None, None, None, None),
        ("face", "changed", "happy", "sad", 0.8, 1.5, 3.0),
    ]
    assert asked(path, "SELECT json ->> 'more' FROM entries WHERE event = 'changed'") == [("kept",)]
    each = "SELECT value ->> 'label' FROM entries, json_each(entries.json, '$.faces') WHERE kind = 'frame'"
    assert asked(path, each) == [("sad",), ("sad",)]
    assert json.loads(asked(path, "SELECT json FROM entries WHERE kind = 'fault'")[0][0]) == fault(1)
    plan = asked(path, "EXPLAIN QUERY PLAN SELECT * FROM entries WHERE time > '2026-11-22'")
    assert "entries_time" in plan[0][-1]
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log.db"]


def test_an_entry_that_comes_twice_is_there_once(tmp_path: Path) -> None:
    write(tmp_path / "log.db", 0, 1, 1)
    write(tmp_path / "log.db", 1, 2)
    assert numbers(tmp_path / "log.db") == [0, 1, 2]


def test_two_runs_may_write_one_database_while_others_read(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    logs = [opened(path), opened(path)]

    def fill(run: int) -> None:
        for number in range(100):
            logs[run].write([face(number, run=f"run{run}")])

    threads = [threading.Thread(target=fill, args=(run,)) for run in (0, 1)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        asked(path, "SELECT count(*), max(time) FROM entries")
    for log in logs:
        log.close()
    assert len(set(asked(path, "SELECT id FROM entries"))) == 200


def test_a_database_that_another_program_locks_is_an_error_until_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketsight.device.sinks.sqlite.BUSY_TIMEOUT", 0.1)
    log = opened(tmp_path / "log.db")
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogError, match="cannot be written: database is locked"):
            log.write([face(0)])
    log.write([face(0)])
    log.close()
    assert numbers(tmp_path / "log.db") == [0]


def test_a_reader_that_never_ends_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = opened(path)
    log.write([face(0)])
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM entries").fetchone()
        for batch in range(30):
            log.write([face(number) for number in range(500 * batch, 500 * batch + 500)])
        assert reader.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    log.write([face(15_000)])
    log.close()
    assert not Path(f"{path}-wal").exists()
    assert len(numbers(path)) == 15_001


def test_the_write_ahead_log_is_copied_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = opened(path)
    for number in range(600):
        log.write([face(number)])
        assert os.stat(f"{path}-wal").st_size < CHECKPOINT_BYTES + 100_000
    assert log.bytes_written > 2 * CHECKPOINT_BYTES
    log.close()


def test_the_oldest_rows_go_when_there_is_no_room(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = opened(path, total=1_000_000)
    for batch in range(100):
        log.write([face(number) for number in range(100 * batch, 100 * batch + 100)])
    log.close()
    found = numbers(path)
    assert found == list(range(log.entries_deleted, 10_000)) and 1000 < len(found) < 5000
    assert path.stat().st_size < 1_200_000


def test_a_newer_version_and_a_foreign_database_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "log.db", 0)
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with closing(sqlite3.connect(tmp_path / "photos.db")) as connection:
        connection.execute("CREATE TABLE photos (name)")
    for name, why in ("log.db", "newer pocketsight"), ("photos.db", "another program; choose another file"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(LogError, match=rf"{name} .*{why}"):
            opened(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


def test_an_older_version_is_brought_to_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "log.db", 0)
    more = "ALTER TABLE entries ADD COLUMN mood TEXT", "UPDATE entries SET mood = label"
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS, more))
    for number in 1, 2:
        write(tmp_path / "log.db", number)
    assert asked(tmp_path / "log.db", "SELECT mood FROM entries ORDER BY n") == [("happy",), (None,), (None,)]
    assert asked(tmp_path / "log.db", "PRAGMA user_version") == [(3,)]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "log.db", 0)
    more = "ALTER TABLE entries ADD COLUMN mood TEXT", "UPDATE absent SET mood = 1"
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS, more))
    with pytest.raises(LogError, match="no such table: absent"):
        opened(tmp_path / "log.db")
    assert asked(tmp_path / "log.db", "PRAGMA user_version") == [(2,)]
    assert asked(tmp_path / "log.db", "SELECT count(*) FROM pragma_table_info('entries') WHERE name = 'mood'") == [(0,)]


def damage_middle(path: Path) -> None:
    """What a worn-out card does."""
    with open(path, "r+b") as file:
        for page in range(2, path.stat().st_size // 4096, 3):
            file.seek(4096 * page)
            file.write(random.Random(page).randbytes(4096))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def replace(path: Path) -> None:
    path.write_text("This is no database. " * 500)


@pytest.mark.parametrize("harm", [damage_middle, cut, replace])
def test_a_broken_database_is_kept_under_another_name_and_told_once(tmp_path: Path, harm: Any) -> None:
    path = tmp_path / "log.db"
    write(path, *range(5000))
    harm(path)
    broken = path.read_bytes()
    reports: Reports = []
    write(path, 7000, reports=reports)
    assert numbers(path) == [7000]
    (kept,) = tmp_path.glob("log.broken-*.db")
    assert kept.read_bytes() == broken
    ((fault_name, active, detail),) = reports
    assert (fault_name, active) == ("log corrupt", True) and kept.name in detail and "\n" not in detail
    write(path, 7001, reports=reports)
    assert numbers(path) == [7000, 7001] and len(reports) == 1


def killed(path: Path, count: int) -> None:
    """Leave a database as a process leaves it that was killed: with a write-ahead log."""
    log = opened(path)
    log.write([face(number) for number in range(count)])
    copies = {end: Path(f"{path}{end}").read_bytes() for end in ("", "-wal")}
    log.close()
    for end, content in copies.items():
        Path(f"{path}{end}").write_bytes(content)


def test_a_run_that_ends_at_once_tells_of_a_broken_database(tmp_path: Path) -> None:
    replace(tmp_path / "log.db")
    reports: Reports = []
    assert SinkWorker(opened(tmp_path / "log.db", reports=reports), lambda *fault: None).close(10)
    assert len(reports) == 1


def test_what_stands_in_a_write_ahead_log_is_not_lost(tmp_path: Path) -> None:
    killed(tmp_path / "log.db", 50)
    write(tmp_path / "log.db", 50)
    assert numbers(tmp_path / "log.db") == list(range(51))


@pytest.mark.parametrize("garbage", ["all", "tail", "header"])
def test_garbage_in_the_write_ahead_log_harms_no_later_entry(tmp_path: Path, garbage: str) -> None:
    path, wal, reports = tmp_path / "log.db", tmp_path / "log.db-wal", list[Any]()
    write(path, 0)
    killed(path, 50)
    whole = wal.read_bytes()
    noise = random.Random(0).randbytes(len(whole))
    bad = {"all": noise, "tail": whole[:-2000] + noise[:2000], "header": bytes(32) + whole[32:]}[garbage]
    wal.write_bytes(bad)
    write(path, 100, reports=reports)
    found = numbers(path)
    assert found[0] == 0 and found[-1] == 100
    if garbage != "tail":  # a torn tail is what a power cut leaves, and SQLite leaves it out by itself
        (kept,) = tmp_path.glob("log.broken-*.db-wal")
        assert kept.read_bytes() == bad and kept.name in reports[0][2]


def test_a_write_ahead_log_without_its_database_is_kept(tmp_path: Path) -> None:
    killed(tmp_path / "log.db", 50)
    (tmp_path / "log.db").unlink()
    write(tmp_path / "log.db", 100)
    assert numbers(tmp_path / "log.db") == [100]
    assert len(list(tmp_path.glob("log.broken-*.db-wal"))) == 1


def test_a_database_that_breaks_during_a_run_is_followed_by_a_new_one(tmp_path: Path) -> None:
    path, reports = tmp_path / "log.db", list[Any]()
    write(path, *range(5000))
    log = opened(path, reports=reports)
    log.write([face(5000)])
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    with closing(sqlite3.connect(path)):  # a reader keeps the write-ahead log
        tries = 0
        while tries < 5:
            tries += 1
            try:
                log.write([face(number) for number in range(10_000, 10_500)])
                break
            except LogError as error:
                assert "malformed" in str(error) or "not a database" in str(error)
    log.write([])
    log.close()
    assert tries > 1 and numbers(path) == list(range(10_000, 10_500))
    assert [what for what, _, _ in reports] == ["log corrupt"] and list(tmp_path.glob("log.broken-*.db"))


def test_broken_databases_together_stay_below_the_total(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    for _ in range(6):
        path.write_bytes(b"x" * 400_000)
        opened(path, total=1_000_000).close()
    assert len(list(tmp_path.glob("log.broken-*.db"))) == 2


def test_a_database_that_is_moved_or_deleted_from_outside_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = opened(path)
    log.write([face(0)])
    path.rename(tmp_path / "moved.db")
    log.write([face(1)])
    assert numbers(path) == [1]
    assert numbers(tmp_path / "moved.db") == [0]
    path.unlink()
    log.write([face(2)])
    log.close()
    assert numbers(path) == [2]


def test_commits_are_forced_to_the_disk_a_few_seconds_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced, clock = list[int](), [100.0]
    monkeypatch.setattr(os, "fdatasync", forced.append)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    log = opened(tmp_path / "log.db")
    for number in range(50):
        clock[0] += 0.5
        log.write([face(number)])
    assert 4 <= len(forced) <= 5
    clock[0] += 5
    log.write([])
    log.write([])
    assert len(forced) <= 6
    log.close()
