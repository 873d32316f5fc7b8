"""pocketsight on an emulated Raspberry Pi 4, from its wheel, and the comparison of two logs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

SCRIPTS = ROOT / "scripts" / "emulate"
UNREACHABLE = 75


@pytest.mark.debian("qemu-aarch64", "qemu-arm")
def test_a_pi_4_logs_what_this_machine_logs() -> None:
    done = subprocess.run([SCRIPTS / "run.sh", "pi4"], capture_output=True, text=True, timeout=1800)
    if done.returncode == UNREACHABLE:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    proved = [line for line in lines if line.startswith("pi4 verify: ") and "bit-exact" in line]
    assert len(proved) == len(list((ROOT / "models").glob("*.tflite")))
    assert any("Raspberry Pi 4 Model B" in line for line in lines)
    assert any("aarch64" in line for line in lines)
    assert "pi4 run, compared with x86-64: 30 of 30 lines equal" in lines


def test_an_unknown_board_is_named() -> None:
    done = subprocess.run([SCRIPTS / "run.sh", "pi3"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == "unknown board 'pi3'; use pi4, pi5 or armhf\n"


def entry(number: int, **facts: Any) -> dict[str, Any]:
    face = {"track_id": 1, "box": [10.0, 20.0, 30.0, 40.0], "score": 0.75, "label": "happy"} | facts
    return {
        "v": 2,
        "kind": "frame",
        "time": f"12:0{number}",
        "clock_synced": None,
        "frame": number,
        "faces": [face],
        "latency_ms": 1.5 * number,
        "stages_ms": {"preprocess": 0.1 * number, "total": 2.0},
    }


def compared(folder: Path, expected: list[Any], actual: list[Any], *options: str) -> subprocess.CompletedProcess[str]:
    for name, entries in (("expected", expected), ("actual", actual)):
        (folder / name).write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in entries))
    command = [sys.executable, str(SCRIPTS / "compare_logs.py"), str(folder / "expected"), str(folder / "actual")]
    return subprocess.run([*command, *options], capture_output=True, text=True)


def test_times_may_differ_and_nothing_else(tmp_path: Path) -> None:
    later = entry(0) | {
        "time": "13:00",
        "clock_synced": True,
        "latency_ms": 99.0,
        "stages_ms": {"preprocess": 7.5, "total": 70.25},
    }
    done = compared(tmp_path, [entry(0), entry(1)], [later, entry(1)])
    assert (done.returncode, done.stdout) == (0, "2 of 2 lines equal\n")
    done = compared(tmp_path, [entry(0), entry(1)], [later, entry(1, score=0.751)])
    assert done.returncode == 1
    assert "line 2 differs" in done.stderr and '"score":0.751' in done.stderr and '"score":0.75,' in done.stderr


def test_a_number_written_otherwise_differs(tmp_path: Path) -> None:
    assert compared(tmp_path, [entry(0, score=1)], [entry(0, score=1.0)]).returncode == 1


def test_a_log_that_ends_early_or_is_empty_differs(tmp_path: Path) -> None:
    for options in ((), ("--tolerant",)):
        done = compared(tmp_path, [entry(0), entry(1)], [entry(0)], *options)
        assert done.returncode == 1 and "(end of log)" in done.stderr
    assert compared(tmp_path, [], []).returncode == 1


def test_tolerant_allows_measured_values_and_no_names_or_counts(tmp_path: Path) -> None:
    moved = entry(1, box=[10.0, 20.5, 30.0, 40.0], score=0.74)
    done = compared(tmp_path, [entry(0), entry(1)], [entry(0), moved], "--tolerant")
    assert (done.returncode, done.stdout) == (0, "1 of 2 lines equal; largest differences: box 0.5, score 0.01\n")
    for other in (
        entry(1, label="sad"),
        entry(1, track_id=2),
        entry(1, box=[10.0, 27.0, 30.0, 40.0]),
        entry(1) | {"faces": []},
    ):
        assert compared(tmp_path, [entry(0), entry(1)], [entry(0), other], "--tolerant").returncode == 1
