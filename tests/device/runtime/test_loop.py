"""`pocketsight run` as a real process that is stopped, told to read its settings again, and hindered."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.inference.shipped import MODELS_DIR
from tests.support.processes import running, until

POCKETSIGHT = [sys.executable, "-c", "import pocketsight.device.cli.main as c; c.main(prog_name='pocketsight')"]
STUCK = (  # the detector hangs at its thirtieth frame, as a driver would: without a word
    "import time, pocketsight.device.cli.main as c, pocketsight.device.inference.interpreter as i\n"
    "call, count = i.TfliteModel.__call__, iter(range(10**9))\n"
    "def hang(self, image):\n"
    "    if next(count) == 30: time.sleep(1000)\n"
    "    return call(self, image)\n"
    "i.TfliteModel.__call__ = hang\n"
    "c.main(prog_name='pocketsight')"
)

SET = (  # the clock is an hour ahead while a file exists
    "import os, time\n"
    "wall = time.time\n"
    "time.time = lambda: wall() + 3600 * os.path.exists({shift!r})\n"
    "import pocketsight.device.cli.main as c\n"
    "c.main(prog_name='pocketsight')"
)
FULL = """
mount -t tmpfs -o size=200k none "$1" && head -c 140000 /dev/zero > "$1/ballast"
"$2" -c "$3" run --camera synthetic --log-level frames --log "$1/log.jsonl" 2> "$4/errors.txt" & process=$!
until grep --quiet "disk full" "$4/errors.txt"; do sleep 0.2; done
rm "$1/ballast"
until grep --quiet "disk full ended" "$4/errors.txt"; do sleep 0.2; done
kill $process; wait $process; echo $? > "$4/status"
cp "$1/log.jsonl" "$4/"
"""


@contextmanager
def run(folder: Path, *words: str, program: list[str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A run with its standard error in a file and its log in log.jsonl."""
    log = [] if "--log" in words else ["--log", str(folder / "log.jsonl")]
    with (folder / "errors.txt").open("w") as errors:
        command = [*(program or POCKETSIGHT), "run", *words, *log]
        with running(command, text=True, stdout=errors, stderr=errors) as process:
            yield process


def said(folder: Path) -> str:
    return (folder / "errors.txt").read_text()


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stop(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> None:
    """Ends it by a signal. It hangs if this takes 20 seconds."""
    process.send_signal(number)
    process.wait(timeout=20)


def test_each_sink_gets_the_same_events(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("log.jsonl", "log.db", "log.csv")]
    words = [word for place in places for word in ("--log", str(place))]
    with run(tmp_path, "--camera", "synthetic", "--max-frames", "150", *words) as process:
        assert process.wait(timeout=60) == 0, said(tmp_path)
    lines = entries(places[0])
    assert {entry["event"] for entry in lines} >= {"appeared", "left"}
    assert len({entry["id"] for entry in lines}) == len(lines)
    with sqlite3.connect(places[1]) as database:
        rows = database.execute("select id from entries order by rowid").fetchall()
    assert [row[0] for row in rows] == [entry["id"] for entry in lines]
    faces = [entry for entry in lines if entry["kind"] == "face"]
    assert len(places[2].read_text().splitlines()) == 1 + len(faces)
    assert "150 frames in" in said(tmp_path)


def test_a_file_is_logged_frame_by_frame_without_loss(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(60):
        (frames / f"{number:03}.jpg").symlink_to(MODELS_DIR / "example.jpg")
    with run(tmp_path, "--camera", str(frames)) as process:
        assert process.wait(timeout=60) == 0
    found = entries(tmp_path / "log.jsonl")
    assert [entry["frame"] for entry in found] == list(range(60))
    assert all(len(entry["faces"]) == 1 and "track_id" not in entry["faces"][0] for entry in found)
    assert all(entry["latency_ms"] >= 0 and entry["kind"] == "frame" for entry in found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_its_log_whole(tmp_path: Path, number: signal.Signals) -> None:
    with run(tmp_path, "--camera", "synthetic", "--log-level", "frames") as process:
        until(lambda: len(entries_so_far(tmp_path)) > 20)
        stop(process, number)
        assert process.returncode == 0, said(tmp_path)
    found = entries(tmp_path / "log.jsonl")
    numbers = [entry["frame"] for entry in found if entry["kind"] == "frame"]
    assert numbers == sorted(numbers) and len(numbers) > 20
    appeared = {entry["track_id"] for entry in found if entry.get("event") == "appeared"}
    assert appeared == {entry["track_id"] for entry in found if entry.get("event") == "left"}


def entries_so_far(folder: Path) -> list[str]:
    path = folder / "log.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def test_a_signal_while_it_starts_ends_it(tmp_path: Path) -> None:
    for pause in (0.05, 0.3, 0.6, 0.9):
        with run(tmp_path, "--camera", "synthetic") as process:
            time.sleep(pause)
            stop(process)
            assert process.returncode in (0, -signal.SIGTERM), said(tmp_path)  # before Python listens it just ends
            assert "Traceback" not in said(tmp_path)


def test_a_signal_while_nothing_moves_and_it_rests(tmp_path: Path) -> None:
    with run(tmp_path, "--camera", "synthetic", "--fps", "0.1") as process:
        until(lambda: (tmp_path / "log.jsonl").exists())
        time.sleep(1.5)
        stop(process)
        assert process.returncode == 0


def test_a_log_that_cannot_be_written_any_more_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with run(tmp_path, "--camera", "synthetic", "--log-level", "frames", "--log", "/dev/full") as process:
        until(lambda: "disk full" in said(tmp_path))
        stop(process)
        assert process.returncode == 1 and "could not be written" in said(tmp_path).splitlines()[-1]


def test_settings_are_read_again_on_sighup_and_wrong_ones_change_nothing(tmp_path: Path) -> None:
    config = tmp_path / "pocketsight.toml"
    config.write_text("[log]\nlevel = 'events'\n")
    with run(tmp_path, "--camera", "synthetic", "--config", str(config)) as process:
        until(lambda: "appeared" in "".join(entries_so_far(tmp_path)))
        assert '"kind":"frame"' not in "".join(entries_so_far(tmp_path))
        config.write_text("[log]\nlevel = 'everything'\n")
        process.send_signal(signal.SIGHUP)
        until(lambda: "settings refused" in said(tmp_path))
        assert "log.level = 'everything' must be one of 'frames', 'events'" in said(tmp_path)
        config.write_text("[log]\nlevel = 'frames'\n[run]\nblur = true\n")
        process.send_signal(signal.SIGHUP)
        until(lambda: '"kind":"frame"' in "".join(entries_so_far(tmp_path)))
        assert "applied: --log-level; restart to change --blur" in said(tmp_path)
        stop(process)
        assert process.returncode == 0


def test_a_model_that_is_replaced_while_it_runs_is_taken_when_told_and_only_if_it_is_good(tmp_path: Path) -> None:
    model = tmp_path / "detector.tflite"
    shutil.copy(MODELS_DIR / "detector.tflite", model)
    with run(tmp_path, "--camera", "synthetic", "--detector", str(model), "--log-level", "frames") as process:
        until(lambda: len(entries_so_far(tmp_path)) > 5)
        model.write_bytes(b"cut short")
        before = len(entries_so_far(tmp_path))
        until(lambda: len(entries_so_far(tmp_path)) > before + 5)
        process.send_signal(signal.SIGHUP)
        until(lambda: "settings refused" in said(tmp_path))
        assert "detector.tflite is not a model file" in said(tmp_path)
        shutil.copy(MODELS_DIR / "detector.tflite", model)
        process.send_signal(signal.SIGHUP)
        until(lambda: "settings read" in said(tmp_path))
        stop(process)
        assert process.returncode == 0


def test_a_detector_that_hangs_ends_the_process_with_a_last_line(tmp_path: Path) -> None:
    program = [sys.executable, "-c", STUCK]
    with run(tmp_path, "--camera", "synthetic", "--watchdog", "2", "--log-level", "frames", program=program) as process:
        assert process.wait(timeout=60) == 70
    assert "pocketsight is stuck in detect for" in said(tmp_path).splitlines()[-1]
    assert len(entries(tmp_path / "log.jsonl")) >= 10  # what was seen before is there


def test_a_second_run_on_the_same_log_is_refused(tmp_path: Path) -> None:
    with run(tmp_path, "--camera", "synthetic", "--log-level", "frames") as process:
        until(lambda: len(entries_so_far(tmp_path)) > 3)
        words = ["run", "--camera", "synthetic", "--log", str(tmp_path / "log.jsonl")]
        second = subprocess.run([*POCKETSIGHT, *words], capture_output=True, text=True, timeout=60)
        assert second.returncode == 1 and "is being written by another run" in second.stderr
        stop(process)


def test_a_service_manager_is_told(tmp_path: Path) -> None:
    """A stand-in for systemd: a socket that listens."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        words = ["run", "--camera", "synthetic", "--log", str(tmp_path / "log.jsonl")]
        with running([*POCKETSIGHT, *words], env=environment, text=True, stderr=subprocess.PIPE) as process:
            told = [manager.recv(1000)]
            while not told[-1].startswith(b"READY=1"):  # a sign of life may come before
                told.append(manager.recv(1000))
            assert {*told[:-1], *(manager.recv(1000) for _ in range(3))} == {b"WATCHDOG=1"}
            stop(process)
            rest = b"".join(iter_datagrams(manager))
            assert b"STOPPING=1" in rest


def iter_datagrams(link: Any) -> Iterator[bytes]:
    link.setblocking(False)
    while True:
        try:
            yield link.recv(1000)
        except BlockingIOError:
            return


def test_a_clock_that_is_set_disturbs_no_duration_and_is_told(tmp_path: Path) -> None:
    shift = tmp_path / "shift"
    program = [sys.executable, "-c", SET.format(shift=str(shift))]
    with run(tmp_path, "--camera", "synthetic@10", "--watchdog", "3", program=program) as process:
        until(lambda: "appeared" in "".join(entries_so_far(tmp_path)))
        shift.touch()
        until(lambda: said(tmp_path).count("clock set") == 1)
        time.sleep(4)  # longer than the watchdog waits
        shift.unlink()
        until(lambda: said(tmp_path).count("clock set") == 2)
        stop(process)
        assert process.returncode == 0, said(tmp_path)
    found = entries(tmp_path / "log.jsonl")
    jumps = [entry["detail"] for entry in found if entry["event"] == "clock set"]
    assert jumps[0].startswith("by +3600") and jumps[1].startswith("by -3600")
    lasted = [entry["duration_s"] for entry in found if entry["event"] == "left"]
    assert lasted and all(0 <= seconds < 60 for seconds in lasted)
    assert {entry["event"] for entry in found} <= {"appeared", "changed", "left", "clock set"}  # no false alarm


@pytest.mark.debian("unshare")
def test_a_disk_that_fills_up_and_is_freed_again(tmp_path: Path) -> None:
    """On a tmpfs of 200 kB, mounted in a name space of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine allows no mount in a name space of its own")
    words = [str(disk), *POCKETSIGHT[:1], POCKETSIGHT[2], str(tmp_path)]
    subprocess.run([*unshare, "bash", "-c", FULL, "bash", *words], timeout=120, check=True)
    assert (tmp_path / "status").read_text() == "0\n", said(tmp_path)
    numbers = [entry["frame"] for entry in entries(tmp_path / "log.jsonl") if entry["kind"] == "frame"]
    assert numbers == sorted(numbers) and len(numbers) > 50
    assert "0 entries were lost" in said(tmp_path)


def test_a_reader_that_has_seen_enough_ends_the_run_quietly() -> None:
    words = [*POCKETSIGHT, "run", "--camera", "synthetic", "--log-level", "frames"]
    with running(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        assert json.loads(process.stdout.readline())["kind"] in ("frame", "face")
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=30) == 0 and "Traceback" not in errors


def test_a_run_goes_on_when_nobody_reads_its_errors(tmp_path: Path) -> None:
    words = [*POCKETSIGHT, "run", "--camera", "synthetic", "--log", str(tmp_path / "log.jsonl")]
    with running(words, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        until(lambda: len(entries_so_far(tmp_path)) > 1)
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
        until(lambda: "settings read" in "".join(entries_so_far(tmp_path)))
        process.send_signal(signal.SIGHUP)
        until(lambda: "".join(entries_so_far(tmp_path)).count("settings read") == 2)
        stop(process)
        assert process.returncode == 0


def test_a_terminal_that_hangs_up_ends_the_run(tmp_path: Path) -> None:
    """Standard input is a terminal of our own; the signal is what the kernel sends when it goes."""
    ours, theirs = os.openpty()
    words = [*POCKETSIGHT, "run", "--camera", "synthetic", "--log", str(tmp_path / "log.jsonl")]
    with running(words, stdin=theirs, stderr=subprocess.DEVNULL, text=True) as process:
        until(lambda: len(entries_so_far(tmp_path)) > 1)
        stop(process, signal.SIGHUP)
        assert process.returncode == 0
    os.close(ours)
    os.close(theirs)
