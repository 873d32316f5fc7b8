"""Files of lines: JSON Lines and CSV."""

import csv
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.errors import LogError
from pocketsight.device.faults import ignore_fault
from pocketsight.device.results import LogEntry
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.sinks.base import DiskFull, RotationConfig
from pocketsight.device.sinks.csv_file import CSV_COLUMNS, open_csv
from pocketsight.device.sinks.factory import open_sinks
from pocketsight.device.sinks.group import SinkGroup
from pocketsight.device.sinks.jsonl import open_jsonl
from pocketsight.device.sinks.mqtt.config import MqttConfig
from pocketsight.device.sinks.rotation import list_rotated_files
from pocketsight.device.sinks.text_file import TextFileSink
from tests.support.entries import face, fault, frame

NONE = RotationConfig(None, None, None)
OPENERS = {"log.jsonl": open_jsonl, "log.csv": open_csv}


def numbers(path: Path) -> list[int]:
    """Of the frames in a file of JSON lines."""
    return [json.loads(line)["frame"] for line in path.read_text().splitlines()]


def rows(path: Path) -> list[dict[str, str]]:
    """Of a CSV file."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write(sink: TextFileSink, *entries: LogEntry) -> None:
    """One batch, and the end."""
    sink.write(entries)
    sink.close()


def opened(*targets: str, limits: RotationConfig = NONE) -> SinkGroup:
    return open_sinks(targets, limits, MqttConfig(), RunStatus("run", ("happy", "sad")), ignore_fault)


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    for run in (0, 2):
        write(open_jsonl(tmp_path / "log.jsonl", NONE), frame(run), frame(run + 1))
    assert numbers(tmp_path / "log.jsonl") == [0, 1, 2, 3]


def test_a_line_torn_by_a_power_cut_stays_alone(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"frame": 0}\n{"fra')
    write(open_jsonl(tmp_path / "log.jsonl", NONE), frame(1))
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert lines[1] == '{"fra'
    assert json.loads(lines[2])["frame"] == 1


@pytest.mark.parametrize("name", ["missing/log.jsonl", "."])
def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(LogError, match="cannot be written"):
        open_jsonl(tmp_path / name, NONE)


@pytest.mark.parametrize("name", OPENERS)
def test_one_run_a_file(tmp_path: Path, name: str) -> None:
    log = OPENERS[name](tmp_path / name, NONE)
    with pytest.raises(LogError, match="is being written by another run"):
        OPENERS[name](tmp_path / name, NONE)
    write(log, frame(0))
    OPENERS[name](tmp_path / name, NONE).close()


def test_a_log_that_log_rotation_empties_renames_or_deletes_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = open_jsonl(path, NONE)
    log.write([frame(0)])
    os.truncate(path, 0)
    log.write([frame(1)])
    assert numbers(path) == [1]
    path.rename(tmp_path / "log.1")
    log.write([frame(2)])
    assert numbers(path) == [2] and numbers(tmp_path / "log.1") == [1]
    path.unlink()
    write(log, frame(3))
    assert numbers(path) == [3]


def test_a_folder_that_vanishes_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()
    log = open_jsonl(tmp_path / "usb" / "log.jsonl", NONE)
    (tmp_path / "usb").rename(tmp_path / "gone")
    for _ in range(2):
        with pytest.raises(LogError, match="No such file"):
            log.write([frame(0)])
    (tmp_path / "usb").mkdir()
    write(log, frame(1))
    assert numbers(tmp_path / "usb" / "log.jsonl") == [1]


def test_a_file_that_is_large_enough_is_followed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = open_jsonl(path, RotationConfig(5_000, None, None))
    for number in range(100):
        log.write([frame(number)])
    log.close()
    files = [*list_rotated_files(path), path]
    assert len(files) > 3 and all(file.stat().st_size <= 5_000 for file in files)
    assert [number for file in files for number in numbers(file)] == list(range(100))


def test_all_files_together_stay_below_the_total_and_what_goes_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    (tmp_path / "log.jsonl.bak").write_text("ours\n" * 9000)
    (tmp_path / "log.mine.jsonl").write_text("ours\n" * 9000)
    log = open_jsonl(path, RotationConfig(None, None, 20_000))
    for number in range(1000):
        log.write([frame(number)])
        assert sum(file.stat().st_size for file in (*list_rotated_files(path), path) if file.exists()) <= 20_000
    log.close()
    kept = [number for file in (*list_rotated_files(path), path) for number in numbers(file)]
    assert kept == list(range(log.entries_deleted, 1000)) and len(kept) > 50
    assert len(list(tmp_path.glob("log.jsonl.bak"))) == len(list(tmp_path.glob("log.mine.jsonl"))) == 1


def test_a_file_whose_first_line_is_old_is_followed_by_the_next_whatever_the_clock_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock = tmp_path / "log.jsonl", [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    log = open_jsonl(path, RotationConfig(None, 3600.0, None))
    for number, seconds in enumerate((0, 3000, 3000, -7200, 60, 60, -1800)):  # set back two hours, then half an hour
        clock[0] += seconds
        log.write([frame(number)])
    log.close()
    assert [numbers(file) for file in (*list_rotated_files(path), path)] == [[0, 1], [2], [3, 4, 5, 6]]


def test_the_age_of_an_earlier_run_counts(tmp_path: Path) -> None:
    for opener in OPENERS.values():
        path = tmp_path / ("log" + next(name for name in OPENERS if OPENERS[name] is opener)[3:])
        write(opener(path, NONE), face(0))  # of November 2026, while now is another day
        write(opener(path, RotationConfig(None, 1.0, None)), face(1))
        assert len(list_rotated_files(path)) == 1 and path.read_text().count("2026-11-22T04:15:01") > 0


def test_no_older_file_is_ever_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((2026, 11, 22, 4, 15, 0, 6, 326, 0)))
    log = open_jsonl(path, RotationConfig(100, None, None))
    for number in range(13):
        log.write([frame(number)])
    log.close()
    assert list_rotated_files(path)[0].name == "log.2026-11-22T04-15-00Z.jsonl"
    assert [number for file in (*list_rotated_files(path), path) for number in numbers(file)] == list(range(13))


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()
    (tmp_path / "log.jsonl").symlink_to(tmp_path / "usb" / "real.jsonl")
    log = open_jsonl(tmp_path / "log.jsonl", RotationConfig(100, None, None))
    log.write([frame(0)])
    write(log, frame(1))
    assert (tmp_path / "log.jsonl").is_symlink() and numbers(tmp_path / "log.jsonl") == [1]
    assert len(list((tmp_path / "usb").iterdir())) == 2


def test_what_was_written_is_forced_to_the_disk_a_few_seconds_later_and_not_more_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced, clock = list[int](), [100.0]
    monkeypatch.setattr(os, "fdatasync", forced.append)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    log = open_jsonl(tmp_path / "log.jsonl", NONE)
    for number in range(50):
        clock[0] += 0.5
        log.write([frame(number)])
    assert 4 <= len(forced) <= 5
    clock[0] += 5
    for _ in range(3):
        log.write([])
    count = len(forced)
    assert count <= 6
    log.close()
    assert len(forced) == count  # nothing was left to force


def test_bytes_are_those_that_a_card_must_bear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    log = open_jsonl(tmp_path / "log.jsonl", NONE)
    for _ in range(10):
        log.write([frame(0)])  # far less than a page, but a page is written each time
        clock[0] += 10
    log.write([])
    assert log.bytes_written == 10 * 4096
    log.write([frame(number) for number in range(200)])
    log.close()
    assert (tmp_path / "log.jsonl").stat().st_size <= log.bytes_written - 10 * 4096 + 4096 < 60_000


def test_a_full_device_is_an_error() -> None:
    log = open_jsonl(Path("/dev/full"), NONE)
    with pytest.raises(DiskFull, match=r"/dev/full cannot be written: No space left on device"):
        log.write([frame(0)])
    log.close()


def test_a_named_pipe_is_a_log_that_ends_with_its_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LogError, match="cannot be written"):
        open_jsonl(tmp_path / "pipe", NONE)  # nobody reads
    read: list[str] = []

    def look() -> None:
        with (tmp_path / "pipe").open() as pipe:
            read.append(pipe.readline())

    reader = threading.Thread(target=look)
    reader.start()
    end = time.monotonic() + 10
    while True:
        try:
            log = open_csv(tmp_path / "pipe", RotationConfig(10, None, None))
            break
        except LogError:
            assert time.monotonic() < end
    reader.join()
    assert read[0].startswith("v,time,")
    with pytest.raises(BrokenPipeError):
        log.write([face(0)])
    log.close()


PRINT = """
import sys
from pocketsight.device.sinks.jsonl import StdoutSink
from pocketsight.device.errors import LogError
from pocketsight.device.faults import ignore_fault
output = StdoutSink()
try:
    for number in range(int(sys.argv[1])): output.write([{"frame": number, "more": "x" * 3000}])
except LogError as error: sys.exit(f"Error: {error}")
except BrokenPipeError: sys.exit("the reader has seen enough")
"""


def printed(count: int, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PRINT, str(count)], stderr=subprocess.PIPE, text=True, **options)


def test_standard_output_is_a_log() -> None:
    done = printed(5, stdout=subprocess.PIPE)
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == list(range(5)), done.stderr


def test_standard_output_on_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = printed(1, stdout=full)
    assert done.stderr == "Error: standard output cannot be written: No space left on device\n"


def test_standard_output_that_fits_in_part_is_cut_to_whole_lines(tmp_path: Path) -> None:
    import resource
    import signal

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    with open(tmp_path / "out.jsonl", "w") as file:
        done = printed(9, stdout=file, preexec_fn=small)
    assert "standard output cannot be written: File too large" in done.stderr
    assert numbers(tmp_path / "out.jsonl") == [0, 1, 2]


def test_a_reader_who_has_seen_enough_is_noticed() -> None:
    read, written = os.pipe()
    os.close(read)
    done = printed(1, stdout=written)
    os.close(written)
    assert done.stderr == "the reader has seen enough\n"


def test_a_table_has_a_row_a_face(tmp_path: Path) -> None:
    log = open_csv(tmp_path / "log.csv", NONE)
    changed = face(1, "changed") | {"previous": "sad"}
    write(log, face(0), fault(9), changed, frame(5, faces=2, source='a, "b"\nc.jpg'), frame(6, faces=0))
    found = rows(tmp_path / "log.csv")
    assert [row["kind"] for row in found] == ["face", "face", "frame", "frame"]
    assert found[1]["event"] == "changed" and found[1]["previous"] == "sad" and found[1]["left"] == "1.0"
    assert found[2]["source"] == 'a, "b" c.jpg' and found[2]["label"] == "sad" and found[2]["clock_synced"] == ""
    assert (tmp_path / "log.csv").read_bytes().count(b"\r\n") == 5


def test_a_table_goes_on_only_where_its_columns_fit(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for number in range(2):
        write(open_csv(path, NONE), face(number))
    assert len(rows(path)) == 2 and not list_rotated_files(path)
    text = path.read_text().replace("label_score", "mood")
    path.write_text(text)
    write(open_csv(path, NONE), face(2))
    assert [row["id"][-2:] for row in rows(path)] == ["-2"]
    assert [file.read_text() for file in list_rotated_files(path)] == [text]


@pytest.mark.parametrize("torn", ["1,2026-11-22T04", '1,"a, b', '1,"a ""b'])
def test_a_torn_row_swallows_nothing(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "log.csv"
    write(open_csv(path, NONE), face(0))
    with open(path, "a") as file:
        file.write(torn)
    write(open_csv(path, NONE), face(1), face(2))
    found = rows(path)
    assert len(found) == 4 and [row["id"][-2:] for row in found if row["event"]] == ["-0", "-1", "-2"]


def test_every_piece_of_a_table_has_its_header(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = open_csv(path, RotationConfig(1000, None, None))
    for number in range(50):
        log.write([face(number)])
    os.truncate(path, 0)
    write(log, face(50))
    assert all(file.read_text().startswith(",".join(CSV_COLUMNS)) for file in (*list_rotated_files(path), path))
    assert len(list_rotated_files(path)) > 5 and len(rows(path)) == 1


def test_several_targets_get_the_same(tmp_path: Path) -> None:
    logs = opened(*(str(tmp_path / name) for name in ("a.jsonl", "a.csv", "a.db", "b.log")))
    for number in range(3):
        logs.put(face(number))
    assert logs.finish() == 0
    assert len(rows(tmp_path / "a.csv")) == len((tmp_path / "b.log").read_text().splitlines()) == 3
    facts = logs.stats()
    assert facts["bytes_per_day"] > 0 and {one["written"] for one in facts["sinks"].values()} == {3}
    assert (tmp_path / "a.db").read_bytes().startswith(b"SQLite format 3")


def test_a_target_that_cannot_be_is_an_error_at_once_and_leaves_nothing_open(tmp_path: Path) -> None:
    good = str(tmp_path / "a.jsonl")
    for bad, why in (
        (str(tmp_path / "no" / "b.jsonl"), "No such file"),
        (str(tmp_path / "no" / "b.db"), "cannot be written"),
        ("http://x", "use -, a file, mqtt"),
        (str(tmp_path / "." / "a.jsonl"), "is given twice"),
    ):
        with pytest.raises(LogError, match=why):
            opened(good, bad)
        assert opened(good).finish() == 0
