"""The clock: is it synchronized, and was it set?"""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from pocketsight.device.system.clock import (
    STA_UNSYNC,
    ClockStepDetector,
    ClockSync,
    _Timex,
    kernel_synced,
    timesyncd_synced,
)


def test_the_kernel_answers_as_its_own_tool_would() -> None:
    timex = _Timex(modes=0)
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    assert state >= 0
    assert kernel_synced() is (not timex.status & STA_UNSYNC)
    assert 0 <= timex.maxerror <= 16_000_000  # microseconds: the structure is read at the right places
    assert timex.modes == 0


@pytest.mark.parametrize(
    ("kernel", "told", "answer"),
    [(True, False, True), (False, True, True), (None, True, True), (False, False, False), (None, False, None)],
)
def test_either_source_is_believed(tmp_path: Path, kernel: bool | None, told: bool, answer: bool | None) -> None:
    if told:
        (tmp_path / "run/systemd/timesync").mkdir(parents=True)
        (tmp_path / "run/systemd/timesync/synchronized").touch()
    assert timesyncd_synced(tmp_path) is (True if told else None)
    assert ClockSync(lambda: kernel, tmp_path)() is answer


def test_the_answer_is_kept_for_ten_seconds(tmp_path: Path) -> None:
    now, asked = [0.0], []

    def kernel() -> bool:
        asked.append(now[0])
        return len(asked) > 1

    synced = ClockSync(kernel, tmp_path, lambda: now[0])
    seen = []
    for second in range(25):
        now[0] = float(second)
        seen.append(synced())
    assert asked[0] == 0 and 10 in asked and set(asked) <= {0, 10, 20}
    assert seen[0] is False and seen[9] is False and seen[10] is True


class Clocks:
    """A wall clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.now, self.error = 1000.0, 0.0
        self.slow = 0.0  # seconds that pass between one reading and the next

    def wall(self) -> float:
        return 1.7e9 + self.now + self.error

    def steady(self) -> float:
        self.now += self.slow
        return self.now


def test_a_clock_that_is_set_is_noticed_once_and_by_how_much() -> None:
    clocks = Clocks()
    jumps = ClockStepDetector(clocks.wall, clocks.steady)
    found = []
    for second in range(100):
        clocks.now += 1.0
        clocks.error += {30: 3600.0, 60: -3600.0}.get(second, 0.0)
        if (jump := jumps.poll()) is not None:
            found.append((second, round(jump, 3)))
    assert found == [(30, 3600.0), (60, -3600.0)]


def test_a_clock_that_is_led_gently_was_not_set() -> None:
    clocks = Clocks()
    jumps = ClockStepDetector(clocks.wall, clocks.steady)
    for _ in range(86400):
        clocks.now += 1.0
        clocks.error += 500e-6  # the most that the kernel does
        assert jumps.poll() is None


def test_a_process_that_is_held_up_while_it_reads_the_clocks_does_not_take_it_for_a_jump() -> None:
    clocks = Clocks()
    jumps = ClockStepDetector(clocks.wall, clocks.steady)
    clocks.slow = 600.0  # stopped between the two readings
    assert jumps.poll() is None
    clocks.slow = 0.0
    assert jumps.poll() is None
    clocks.error = -2.0
    assert jumps.poll() == pytest.approx(-2.0)


SETS = """
import select, sys, time
from pocketsight.device.system.clock import ClockStepDetector
from pocketsight.device.system.watchdog import Watchdog
name = sys.argv[1]
steps, found = ClockStepDetector(), []
with Watchdog(timeout=2.0) as dog:
    begin, steady = time.time(), time.monotonic()
    for shift in ("+0", "+3600", "+0"):
        with open(name, "w") as file: file.write(shift)
        for _ in range(15):
            dog.beat("wait")
            select.select([], [], [], 0.02)  # Python's own sleep fails under faketime
            if (step := steps.poll()) is not None: found.append(round(step))
print(found, round(time.monotonic() - steady) < 10)
"""


@pytest.mark.debian("faketime")
def test_a_real_clock_set_one_hour_forth_and_back_is_told_and_nothing_else_happens(tmp_path: Path) -> None:
    """The C library is lied to about the time of day; the steady clocks stay."""
    shift = tmp_path / "shift"
    shift.write_text("+0")
    found = subprocess.run(["faketime", "now", "env"], capture_output=True, text=True, check=True).stdout
    library = next(line.partition("=")[2] for line in found.splitlines() if line.startswith("LD_PRELOAD="))
    lie = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(shift),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    command = ["env", *(f"{key}={value}" for key, value in lie.items()), sys.executable, "-c", SETS, str(shift)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[3600, -3600] True\n"
