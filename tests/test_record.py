import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.device.boxes import Box
from edgekit.device.cli import EXAMPLE
from edgekit.device.detector import Face
from edgekit.device.errors import LogError
from edgekit.device.record import Log, Record
from edgekit.device.sentiment import Sentiment

EDGEKIT = [sys.executable, "-c", "import edgekit.device.cli as c; c.main(prog_name='edgekit')"]


def record(number: int) -> Record:
    return Record(1.0, number, None, [(Face(Box(1, 2, 3, 4), 0.9), Sentiment("sad", 0.8, 1))], {"whole": 1.0})


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    for run in (0, 1):
        log = Log(tmp_path / "log.jsonl")
        log.write(record(run))
        log.close()
    assert [json.loads(line)["frame"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [0, 1]


def test_a_line_torn_by_a_power_cut_stays_alone(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"frame": 0}\n{"fra')
    log = Log(tmp_path / "log.jsonl")
    log.write(record(1))
    log.close()
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert lines[1] == '{"fra'
    assert json.loads(lines[2])["frame"] == 1


@pytest.mark.parametrize("name", ["missing/log.jsonl", "."])
def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(LogError, match="cannot be written"):
        Log(tmp_path / name)


def test_one_run_a_file(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    with pytest.raises(LogError, match="is being written by another run"):
        Log(tmp_path / "log.jsonl")
    log.close()
    Log(tmp_path / "log.jsonl").close()


def test_a_log_that_is_cut_by_log_rotation_goes_on_at_its_new_end(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.write(record(0))
    os.truncate(tmp_path / "log.jsonl", 0)
    log.write(record(1))
    log.close()
    assert json.loads((tmp_path / "log.jsonl").read_text())["frame"] == 1


def test_a_pipe_is_a_log_too() -> None:
    words = ["run", "--camera", str(EXAMPLE), "--log", "/dev/stdout"]
    done = subprocess.run([*EDGEKIT, *words], capture_output=True, text=True)
    assert json.loads(done.stdout)["frame"] == 0


def test_standard_output_on_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*EDGEKIT, "run", "--camera", str(EXAMPLE)], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "Error: standard output cannot be written: No space left on device\n"


def test_a_full_device_is_an_error() -> None:
    log = Log(Path("/dev/full"))
    with pytest.raises(LogError, match=r"/dev/full cannot be written: No space left on device"):
        log.write(record(0))
    log.close()


@pytest.mark.debian("unshare")
def test_a_disk_that_fills_up_during_a_run_keeps_every_line_whole(tmp_path: Path) -> None:
    """`edgekit run` on a tmpfs of 32 kB, mounted in a name space of its own."""
    disk, frames, kept = tmp_path / "disk", tmp_path / "frames", tmp_path / "kept.jsonl"
    disk.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine allows no mount in a name space of its own")
    frames.mkdir()
    for number in range(400):
        (frames / f"{number}.jpg").symlink_to(EXAMPLE)
    words = ["run", "--camera", str(frames), "--log", str(disk / "log.jsonl")]
    mount = 'disk=$1; kept=$2; shift 2; mount -t tmpfs -o size=32k none "$disk"'
    script = f'{mount} && "$@"; code=$?; cp "$disk/log.jsonl" "$kept"; exit $code'
    command = [*unshare, "sh", "-c", script, "sh", str(disk), str(kept), *EDGEKIT, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert "log.jsonl cannot be written: No space left on device" in line
    lines = kept.read_text().splitlines()
    assert len(lines) > 50
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    assert f"its {len(lines)} new lines are whole" in line
