"""What happens to logs: processes that are killed, disks that fill up. In real processes, on real disks."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.sinks.base import RotationConfig
from pocketsight.device.sinks.jsonl import open_jsonl
from pocketsight.device.sinks.rotation import list_rotated_files
from pocketsight.device.sinks.sqlite import SqliteSink
from tests.support import ROOT as PROJECT
from tests.support.entries import face
from tests.support.log_faults import BATCH
from tests.support.processes import running

KILLS = 200
SCRIPT = [sys.executable, str(PROJECT / "tests" / "support" / "log_faults.py")]
ROOT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))}


def killed(path: Path, kills: int, seed: int) -> list[int]:
    """By child: the number of its last batch of which the child said that it was written."""
    done = subprocess.run(
        [*SCRIPT, "kill", str(path), str(kills), str(seed)], capture_output=True, text=True, timeout=120, env=ROOT
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    last = dict(json.loads(line) for line in done.stdout.splitlines())
    assert list(last) == list(range(kills)) and len(set(last.values())) > 5  # at various moments
    return list(last.values())


def test_a_log_that_is_killed_200_times_has_all_that_was_written_and_goes_on_cleanly(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    last = killed(path, KILLS, 1)
    log = open_jsonl(path, RotationConfig(None, None, None))
    log.write([face(0, run="end")])
    log.close()
    found: dict[str, list[int]] = {}
    torn, before = 0, ""
    for line in [line for file in (*list_rotated_files(path), path) for line in file.read_text().splitlines()]:
        try:
            run, _, number = json.loads(line)["id"].rpartition("-")
        except json.JSONDecodeError:
            assert before != "torn"
            torn, before = torn + 1, "torn"
            continue
        assert before != "torn" or run not in found  # a torn line is the last of its run
        before = run
        found.setdefault(run, []).append(int(number))
    assert torn <= KILLS and list(found) == [*(f"child{child}" for child in range(KILLS)), "end"]
    for child, batch in enumerate(last):
        numbers = found[f"child{child}"]
        assert numbers == list(range(len(numbers))) and len(numbers) >= BATCH * (batch + 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_database_that_is_killed_has_all_that_was_committed(tmp_path: Path, seed: int) -> None:
    path, kills = tmp_path / "log.db", KILLS // 5
    last = killed(path, kills, seed)
    reports: list[Any] = []
    log = SqliteSink(path, RotationConfig(None, None, None), lambda *fault: reports.append(fault))
    log.write([face(0, run="end")])
    log.close()
    assert not reports and not list(tmp_path.glob("*broken*"))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = [row[0].rpartition("-") for row in connection.execute("SELECT id FROM entries ORDER BY n")]
    found: dict[str, list[int]] = {}
    for run, _, number in rows:
        found.setdefault(run, []).append(int(number))
    assert list(found) == [*(f"child{child}" for child in range(kills)), "end"]
    for child, batch in enumerate(last):
        numbers = found[f"child{child}"]
        assert numbers == list(range(len(numbers))) and len(numbers) % BATCH == 0  # whole batches
        assert BATCH * (batch + 1) <= len(numbers) <= BATCH * (batch + 2)


@pytest.mark.debian("unshare")
def test_a_disk_that_fills_up_and_is_freed_costs_only_what_was_counted(tmp_path: Path) -> None:
    """On a tmpfs of 1 MB, mounted in a name space of its own."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine allows no mount in a name space of its own")
    mount = 'disk=$1; kept=$2; shift 2; mount -t tmpfs -o size=1m none "$disk"'
    script = f'{mount} && "$@" full "$disk"; code=$?; cp "$disk"/* "$kept"; exit $code'
    command = [*unshare, "sh", "-c", script, "sh", str(disk), str(kept), *SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=ROOT)
    assert done.returncode == 0 and not done.stderr, done.stderr
    result = json.loads(done.stdout)
    lines = (kept / "log.jsonl").read_text().splitlines()
    with open(kept / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with closing(sqlite3.connect(kept / "log.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database = [id_ for (id_,) in connection.execute("SELECT id FROM entries ORDER BY n")]
    found = {
        "log.jsonl": [json.loads(line)["id"] for line in lines],
        "log.csv": [row["id"] for row in rows],
        "log.db": database,
    }
    for name, ids in found.items():
        assert result["closed"][name]
        numbers = [int(id_.rpartition("-")[2]) for id_ in ids]
        assert numbers == sorted(set(numbers)) and len(numbers) + result["lost"][name] == result["put"]
        assert numbers[:100] == list(range(100)) and numbers[-100:] == list(range(result["put"] - 100, result["put"]))
        (first, over) = result["reports"][name]
        assert first[:2] == ["disk full", True] and name in first[2]
        assert over == ["disk full", False, over[2]] and f"{result['lost'][name]} entries were lost" in over[2]


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "log.db"])
def test_sigterm_writes_what_waits_in_time(tmp_path: Path, name: str) -> None:
    with running([*SCRIPT, "loop", str(tmp_path / name)], stdout=subprocess.PIPE, text=True, env=ROOT) as process:
        assert process.stdout and process.stdout.readline() == "open\n"
        process.send_signal(signal.SIGTERM)
        result = json.loads(process.stdout.readline())
        assert process.wait(20) == 0 and result["whole"]
    text = (tmp_path / name).read_bytes()
    if name.endswith(".db"):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            assert connection.execute("SELECT count(*) FROM entries").fetchone() == (result["put"],)
    else:
        assert text.count(b"\n") == result["put"] + name.endswith(".csv")


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    words = [*SCRIPT, "loop", str(tmp_path / "log.jsonl")]
    with running(words, stdout=subprocess.PIPE, text=True, env=ROOT) as first:
        assert first.stdout and first.stdout.readline() == "open\n"
        second = subprocess.run(words, capture_output=True, text=True, timeout=30, env=ROOT)
        assert second.returncode == 1
        assert second.stderr == (
            f"Error: {tmp_path / 'log.jsonl'} is being written by another run; choose another file\n"
        )
        first.kill()
        first.wait(20)
    with running(words, stdout=subprocess.PIPE, text=True, env=ROOT) as third:  # a killed run holds nothing
        assert third.stdout and third.stdout.readline() == "open\n"
