"""The watchdog in real processes: what it ends, and what it must let live."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pocketsight.device.system.sd_notify import (
    notify,
    notify_ready,
    notify_reloading,
    notify_stopping,
    watchdog_interval,
)
from pocketsight.device.system.watchdog import Watchdog
from tests.support.processes import running, until

START = (
    "import ctypes, os, sys, time\n"
    "from pocketsight.device.system.watchdog import Watchdog\n"
    "def say(word): print(word, flush=True)\n"
)
HANGS = "ctypes.CDLL(None).sleep(600)\n"  # in C, without Python's lock, as a driver does
HOLDS = "ctypes.PyDLL(None).sleep(600)\n"  # in C, with Python's lock
STUCK = "with Watchdog(timeout=0.8) as dog:\n dog.beat('detect')\n say('stuck')\n "
BEATS = "with Watchdog(timeout=0.8) as dog:\n say('beats')\n while True:\n  dog.beat('capture')\n  time.sleep(0.05)\n"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, timeout=30)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Listens as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "notify"))
        link.settimeout(10)
        yield link


def told(manager: socket.socket, seconds: float) -> list[str]:
    """Everything that arrives in a span."""
    words, end = [], time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        manager.settimeout(left)
        try:
            words.append(manager.recv(4096).decode())
        except TimeoutError:
            break
    return words


def test_a_loop_stuck_in_c_ends_the_process_with_one_clear_line() -> None:
    done = python(STUCK + HANGS)
    assert done.returncode == 70
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "pocketsight is stuck in detect for 1 s (<string>:7) and ends with status 70, so that systemd res"
    )


def test_what_was_seen_is_flushed_first(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    code = STUCK.replace("timeout=0.8", f"timeout=0.8, flush=lambda: open({str(path)!r}, 'w').write('all')")
    assert python(code + HANGS).returncode == 70
    assert path.read_text() == "all"


def test_flushing_that_hangs_or_fails_does_not_keep_the_process() -> None:
    assert python(STUCK.replace("timeout=0.8", "timeout=0.8, flush=lambda: time.sleep(600)") + HANGS).returncode == 70
    done = python(STUCK.replace("timeout=0.8", "timeout=0.8, flush=lambda: 1 / 0") + HANGS)
    assert done.returncode == 70


def test_nobody_who_reads_the_last_words_does_not_keep_the_process() -> None:
    out, into = os.pipe()
    os.set_blocking(into, False)
    try:
        while True:
            os.write(into, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(into, True)
    with running([sys.executable, "-c", START + STUCK + HANGS], stderr=into, stdout=subprocess.DEVNULL) as process:
        assert process.wait(timeout=30) == 70
    os.close(into)
    os.close(out)


def test_a_loop_that_goes_on_lives_and_ends_as_it_likes() -> None:
    done = python(
        "with Watchdog(timeout=0.4) as dog:\n for _ in range(40): dog.beat('wait'); time.sleep(0.05)\nsay('end')"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_nothing_watches_after_the_loop() -> None:
    done = python("with Watchdog(timeout=0.4) as dog: dog.beat('wait')\ntime.sleep(1.5)\nsay('end')")
    assert (done.returncode, done.stderr) == (0, "")


def test_models_may_take_longer_to_load_but_not_for_ever() -> None:
    done = python("with Watchdog(timeout=0.4, loading_timeout=4) as dog: time.sleep(1.5); dog.beat('wait')\nsay('end')")
    assert (done.returncode, done.stderr) == (0, "")
    done = python("with Watchdog(timeout=0.4, loading_timeout=1) as dog: " + HANGS)
    assert done.returncode == 70
    assert "stuck in load for 1 s" in done.stderr


def test_no_limit_ends_nothing() -> None:
    done = python("with Watchdog(timeout=0) as dog: dog.beat('wait'); time.sleep(1.5)\nsay('end')")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_that_was_stopped_for_long_goes_on() -> None:
    with running(
        [sys.executable, "-c", START + BEATS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as it:
        assert it.stdout and it.stdout.readline() == "beats\n"
        for _ in range(3):
            it.send_signal(signal.SIGSTOP)
            time.sleep(1.2)  # longer than the limit
            it.send_signal(signal.SIGCONT)
            time.sleep(0.1)
        time.sleep(1)
        assert it.poll() is None, it.stderr and it.stderr.read()


def test_a_machine_too_busy_to_run_the_watchdog_is_not_taken_for_a_loop_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its ticks come 30 s late, three times in a row; the loop has got its turn between them."""
    ended: list[int] = []
    dog = Watchdog(timeout=20, exit_process=ended.append)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(dog, "_beat", (0.0, "detect"))

    def wait(_: float) -> bool:
        now[0] += 30
        return now[0] > 100

    monkeypatch.setattr(dog._stop, "wait", wait)
    dog._watch()
    assert not ended


def test_systemd_hears_a_sign_of_life_while_the_loop_lives(tmp_path: Path, manager: socket.socket) -> None:
    there = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    code = BEATS.replace("timeout=0.8", "timeout=20")
    with running([sys.executable, "-c", START + code], env=there, stdout=subprocess.DEVNULL):
        manager.recv(64)
        words = told(manager, 3)
    assert set(words) == {"WATCHDOG=1"}
    assert 5 <= len(words) <= 10  # two to three a second are asked


@pytest.mark.parametrize("hang", [HANGS, HOLDS], ids=["in C", "in C with Python's lock"])
def test_systemd_hears_nothing_from_a_loop_that_hangs(tmp_path: Path, manager: socket.socket, hang: str) -> None:
    """In the second case our thread cannot run either; systemd ends the process then."""
    there = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    code = STUCK + "time.sleep(0.5)\n " + hang
    with running([sys.executable, "-c", START + code], env=there, stderr=subprocess.DEVNULL) as process:
        assert manager.recv(64) == b"WATCHDOG=1"
        if hang is HANGS:
            assert process.wait(timeout=30) == 70
            assert told(manager, 0.5)[-1].startswith("STATUS=stuck in detect")
        else:
            told(manager, 1.5)
            assert told(manager, 1.5) == []
            assert process.poll() is None


def test_the_sign_of_life_is_for_whom_systemd_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert watchdog_interval() == 30
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_interval() == 30
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_interval() is None
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert watchdog_interval() is None


def test_what_systemd_is_told(tmp_path: Path, manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    before = time.monotonic_ns() // 1000
    assert notify_ready("watching") and notify_reloading() and notify_stopping("signal")
    assert manager.recv(4096) == b"READY=1\nSTATUS=watching"
    word, _, microseconds = manager.recv(4096).decode().partition("\nMONOTONIC_USEC=")
    assert word == "RELOADING=1" and before <= int(microseconds) <= time.monotonic_ns() // 1000
    assert manager.recv(4096) == b"STOPPING=1\nSTATUS=signal"


def test_a_socket_outside_the_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"pocketsight-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("READY=1")
        assert link.recv(64) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "vsock:2:1", "@nobody-listens-here"])
def test_nobody_who_listens_is_no_error(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify("READY=1") is False


def test_a_beat_is_cheap_enough_for_every_stage() -> None:
    with Watchdog() as dog:
        for _ in range(100_000):  # a minute of frames would be a hundredth of it
            dog.beat("detect")
        until(lambda: dog._beat[1] == "detect")
