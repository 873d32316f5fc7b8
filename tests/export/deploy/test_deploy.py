"""Deployments over a real sshd: what runs there has always passed its checks, whatever fails or is killed."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.boards import DeployedBoard
from tests.support.processes import until

pytestmark = pytest.mark.debian("sshd", "ssh")

Wheels = Callable[..., Path]


def test_fresh_upgrade_rollback(fresh_board: DeployedBoard, wheel: Wheels) -> None:
    board = fresh_board
    assert "would run 1.0-" in board.push(wheel("1.0"), "--dry-run") and not board.prefix.exists()
    said = board.push(wheel("1.0"))
    assert "12.5 fps in bench" in said and board.version == "1.0"
    old = board.releases.current
    assert "runs already 1.0-" in board.push(wheel("1.0"))
    board.push(wheel("1.1"))
    new = board.releases.current
    state = board.state()
    assert (state["release"], state["previous"], state["running"]) == (new, old, True)
    assert state["version"] == board.version == "1.1" and state["fps"] == 9 and state["disk_free"] > 0
    is_linked = [
        (board.releases.folder / old / file).samefile(board.releases.folder / new / file)
        for file in ("bin/pocketsight", "site/pocketsight/device/cli/main.py")
    ]
    assert is_linked == [True, False]  # what is equal is not copied again
    board.deploy("--rollback", "--watch", "0.3")
    assert board.version == "1.0"
    board.require_sound()


def test_old_releases_are_removed(board: DeployedBoard, wheel: Wheels) -> None:
    old = board.releases.current
    assert len(board.releases.names()) == 2
    board.push(wheel("1.1"))
    assert board.releases.names() == [old, board.releases.current]  # and a third one while it is prepared


def test_a_version_after_one_that_failed_copies_only_what_differs(fresh_board: DeployedBoard, wheel: Wheels) -> None:
    fresh_board.push(wheel("1.0", "doctor"), status=1)
    said = fresh_board.push(wheel("1.1"), "--dry-run")
    copied = {path: path.stat().st_ino for path in fresh_board.releases.folder.rglob("bin/pocketsight")}
    fresh_board.push(wheel("1.1"))
    (path,) = fresh_board.releases.folder.rglob("bin/pocketsight")
    assert path.stat().st_ino in copied.values()
    assert "would copy " in said and fresh_board.version == "1.1"


@pytest.mark.parametrize("command", ["doctor", "verify"])
def test_a_version_that_fails_its_checks_never_runs(board: DeployedBoard, wheel: Wheels, command: str) -> None:
    process = board.service.process()
    said = board.push(wheel("1.1", command), status=1)
    assert f"FAILED: board: {command}: it was built to fail" in said
    assert board.service.process() == process and board.version == "1.0"


def test_a_version_that_fails_its_30_seconds_goes_back_by_itself(board: DeployedBoard, wheel: Wheels) -> None:
    old, bad = board.releases.current, wheel("1.1", "watch", delay=0.5)
    said = board.push(bad, watch=20, status=1)
    assert re.search(r"the run ended \d s after its start \(Error: it was built to end\); 1.0-\w+ runs again\n$", said)
    assert (board.version, board.releases.current) == ("1.0", old)
    assert [
        name for name in board.releases.names() if name.startswith("1.1") and board.releases.is_verified(name)
    ] == []


def test_nothing_runs_where_the_first_version_fails(fresh_board: DeployedBoard, wheel: Wheels) -> None:
    said = fresh_board.push(wheel("1.1", "watch"), watch=20, status=1)
    assert said.endswith("; nothing runs now\n")
    assert (fresh_board.releases.current, fresh_board.service.process()) == ("", 0)


def test_a_version_that_gets_no_frames_goes_back(board: DeployedBoard, wheel: Wheels) -> None:
    assert "gets no frames" in board.push(wheel("1.1", age=99), status=1)
    assert board.version == "1.0"


STEPS = [("copying", "workstation"), ("bench", "agent"), ("watching", "connection"), ("watching", "agent")]


@pytest.mark.parametrize(("step", "victim"), STEPS)
def test_killed_in_a_step(board: DeployedBoard, wheel: Wheels, step: str, victim: str) -> None:
    new = wheel("1.1") if step == "watching" else wheel("1.1", "slow bench", delay=3)
    with board.pushing(new, watch=30 if victim == "agent" else 2) as process:
        assert process.stderr
        assert any(step in line for line in process.stderr)
        board.kill(victim, process)
    board.wait()
    board.require_sound()
    finished = (step, victim) == ("watching", "connection")  # the board brings a change to its end by itself
    assert board.version == ("1.1" if step == "watching" else "1.0")
    assert board.state()["unfinished"] == ((step, victim) == ("watching", "agent"))
    said = board.push(wheel("1.1"))
    assert ("runs already" in said) == finished and board.version == "1.1"


def test_nobody_watches_and_the_new_version_fails(board: DeployedBoard, wheel: Wheels) -> None:
    """The deployment is killed during its watch, and then the run ends: its next start goes back."""
    with board.pushing(wheel("1.1", "watch", delay=3), watch=20) as process:
        assert process.stderr
        assert any("watching" in line for line in process.stderr)
        board.kill("agent", process)
    until(lambda: board.version == "1.0", 30)
    board.require_sound()


@pytest.mark.parametrize("seed", range(int(os.environ.get("POCKETSIGHT_KILLS", "1"))))
def test_killed_at_a_random_point(board: DeployedBoard, wheel: Wheels, seed: int) -> None:
    """POCKETSIGHT_KILLS=50 kills at 50 points."""
    point = random.Random(seed)
    with board.pushing(wheel("1.1"), watch=0.5) as process:
        try:
            process.wait(timeout=point.uniform(0.2, 5))
        except subprocess.TimeoutExpired:
            board.kill(point.choice(["workstation", "agent", "connection"]), process)
    board.wait()
    board.require_sound()
    assert board.version in ("1.0", "1.1")
    board.push(wheel("1.1"))
    assert board.version == "1.1"


def test_two_deployments_at_once(board: DeployedBoard, wheel: Wheels) -> None:
    with board.pushing(wheel("1.1"), watch=60) as process:
        assert process.stderr
        assert any("watching" in line for line in process.stderr)
        assert "another deployment is at work" in board.push(wheel("1.2"), status=1)
        assert board.version == "1.1"
        board.kill("agent", process)


def test_a_damaged_release_is_not_started_again(board: DeployedBoard) -> None:
    cut = board.releases.folder / board.releases.current / "site/pocketsight/device/cli/main.py"
    cut.write_bytes(cut.read_bytes()[:100])
    os.kill(board.service.process(), 9)  # as a reboot would
    until(lambda: board.version == "0.9", 30)
    board.require_sound()


def test_damaged_bytecode_is_compiled_again(board: DeployedBoard) -> None:
    (cut,) = (board.releases.folder / board.releases.current).rglob("main.*.pyc")
    cut.write_bytes(cut.read_bytes()[:20])
    process = board.service.process()
    os.kill(process, 9)
    until(lambda: board.service.process() not in (0, process), 30)
    until(lambda: board.version == "1.0")
    assert cut.stat().st_size > 100


def test_a_board_that_cannot_run_it_says_why(fresh_board: DeployedBoard, wheel: Wheels) -> None:
    board = fresh_board
    board.server.stand_in("uname", "echo armv6l")
    said = board.push(wheel("1.0"), status=1)
    assert "there are no packages of the interpreter for armv6l; pocketsight runs on aarch64" in said
    assert not board.prefix.exists()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 1 MB, mounted at `folder`."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which needs root")
@pytest.mark.debian("mount")
def test_a_full_disk(fresh_board: DeployedBoard, wheel: Wheels) -> None:
    board = fresh_board
    from pocketsight.export.deploy.on_board.releases import Refused, name_digits, sum_of

    board.prefix.mkdir()
    with small_disk(board.prefix):
        said = board.push(wheel("1.0"), status=1)
        assert "the disk is full: 50 MB are needed" in said and board.releases.names() == []
        (board.prefix / "block").write_bytes(os.urandom(900_000))  # it fills up while files are copied
        file = board.prefix.parent / "big"
        file.write_bytes(os.urandom(500_000))
        sums = f"{sum_of(file)}  site/big\n"
        name = f"1.0-{name_digits(sums)}"
        (board.releases.folder / name).mkdir(parents=True)
        (board.releases.folder / name / "SHA256SUMS").write_text(sums)
        with pytest.raises(Refused, match="site/big cannot be written: No space left on device"):
            board.releases.write(name, "site/big", file.read_bytes())
        assert board.releases.names() == []


def test_a_fleet(fresh_board: DeployedBoard, wheel: Wheels, tmp_path: Path) -> None:
    """A canary stops the others; without one, a board that fails stops nobody."""
    board = fresh_board
    hosts = {name: DeployedBoard(board.server, tmp_path / name) for name in ("one", "two")}
    lines = [f'[boards.{name}]\nhost = "board-{name}"\nprefix = "{each.prefix}"\n' for name, each in hosts.items()]
    fleet = tmp_path / "boards.toml"
    fleet.write_text('[boards.gone]\nhost = "gone.invalid"\n' + "".join(lines))
    words = ["--fleet", fleet, "--wheel", wheel("1.0"), "--no-packages", "--watch", "0.2", "--json"]
    options = board.words()[1:]
    del options[options.index("--prefix") : options.index("--prefix") + 2]
    try:
        board.host, prefix_words = "all", options
        board.words = lambda *given: [*map(str, given), "all", *prefix_words]  # type: ignore[method-assign]
        results = json.loads(board.deploy(*words, "--canary", "1", status=1))
        assert [each["ok"] for each in results] == [False, False, False]
        assert "not begun" in results[1]["reason"] and not hosts["one"].prefix.exists()
        results = json.loads(board.deploy(*words, status=1))
        assert {each["board"]: each["ok"] for each in results} == {"gone": False, "one": True, "two": True}
        assert "gone.invalid cannot be reached" in results[0]["reason"]
        assert hosts["one"].version == hosts["two"].version == "1.0"
        assert "--board one" in (hosts["one"].prefix / "current/bin/service").read_text()
    finally:
        for each in hosts.values():
            each.stop()


def test_this_machine_needs_no_ssh(fresh_board: DeployedBoard, wheel: Wheels) -> None:
    """What scripts/setup_pi.sh does."""
    fresh_board.host = "."
    fresh_board.push(wheel("1.0"))
    assert fresh_board.version == "1.0"
    assert f"--board {socket.gethostname()}" in (fresh_board.prefix / "current/bin/service").read_text()
