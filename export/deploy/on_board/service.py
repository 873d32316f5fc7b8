"""The service that runs the current release: a unit of systemd, or a process that restarts it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from pocketsight.export.deploy.on_board.releases import Refused, write_file

STOP_TIMEOUT = 15.0  # seconds
LOCK_PATIENCE = 0.5  # seconds: whoever asks whether a file is locked locks it for a moment
NAME = "pocketsight"
STATUS = "status.json"  # that a run writes into RUNTIME_DIRECTORY


class Service(Protocol):
    """What a deployment needs of a service."""

    run_folder: Path

    def install(self, unit: str, archive: Path) -> bool:
        """Make it start the current release, also after a reboot where it can. Returns whether that has changed."""

    def restart(self) -> None:
        """Replace the process of the run by one of the current release, and do not wait for it.

        It is one step, so that a deployment that is killed never leaves the board without a run.
        """

    def reload(self) -> None:
        """Let it read its models and settings again."""

    def stop(self) -> None:
        """Stop it. Nothing happens when it does not run."""

    def process(self) -> int:
        """The id of the process of the run; 0 if there is none."""

    def messages(self) -> list[str]:
        """Its last messages."""


def open_service(kind: str, prefix: Path) -> Service:
    """`kind` is system, user or process."""
    return ProcessService(prefix) if kind == "process" else SystemdService(kind == "user")


def read_status(service: Service) -> dict[str, Any]:
    """What the process that runs now has written about itself; {} if there is nothing yet."""
    try:
        status = json.loads((service.run_folder / STATUS).read_text())
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) and status.get("pid") == service.process() != 0 else {}


class SystemdService:
    """A unit of the system or of a user."""

    def __init__(self, user: bool) -> None:
        self.words = ["systemctl", "--user"] if user else ["systemctl"]
        config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        self.unit = Path(f"{config}/systemd/user" if user else "/etc/systemd/system") / f"{NAME}.service"
        self.run_folder = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}") if user else "/run") / NAME

    def install(self, unit: str, archive: Path) -> bool:
        changed = not self.unit.exists() or self.unit.read_text() != unit
        if changed:
            write_file(self.unit, unit.encode())
            self._control("daemon-reload")
        self._control("enable", "--quiet", NAME)
        if "--user" in self.words:  # else it would end with the login
            subprocess.run(["loginctl", "enable-linger"], capture_output=True)
        return changed

    def restart(self) -> None:
        self._control("restart", "--no-block", NAME)

    def reload(self) -> None:
        os.kill(self.process(), signal.SIGHUP)

    def stop(self) -> None:
        self._control("stop", NAME)

    def process(self) -> int:
        shown = subprocess.run([*self.words, "show", "-p", "MainPID", "--value", NAME], capture_output=True, text=True)
        return int(shown.stdout.strip() or 0)

    def messages(self) -> list[str]:
        scope = "--user-unit" if "--user" in self.words else "--unit"
        words = ["journalctl", scope, NAME, "--lines", "20", "--output", "cat", "--no-pager"]
        return subprocess.run(words, capture_output=True, text=True).stdout.splitlines()

    def _control(self, *words: str) -> None:
        done = subprocess.run([*self.words, *words], capture_output=True, text=True)
        if done.returncode:
            raise Refused(f"systemctl {words[0]}: {done.stderr.strip() or 'failed'}")


class ProcessService:
    """For boards without systemd: a process that starts the release, and again when it ends. It does not survive a
    reboot. Locks of its files show what runs: a process id alone could be that of another program by now."""

    def __init__(self, prefix: Path) -> None:
        self.prefix, self.run_folder = prefix, prefix / "run"
        self.supervisor, self.main = self.run_folder / "supervisor.pid", self.run_folder / "main.pid"
        self.archive = Path()

    def install(self, unit: str, archive: Path) -> bool:
        self.run_folder.mkdir(mode=0o700, exist_ok=True)
        return False

    def restart(self) -> None:
        if is_locked(self.supervisor):
            os.kill(_read_process(self.supervisor), signal.SIGUSR1)
            return
        words = [sys.executable, str(self.prefix / "agent.pyz"), "supervise", str(self.prefix)]
        with open(self.run_folder / "messages.txt", "wb") as messages:
            subprocess.run(words, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages)
        self._wait(lambda: is_locked(self.supervisor), "the supervisor does not start")

    def reload(self) -> None:
        os.kill(self.process(), signal.SIGHUP)

    def stop(self) -> None:
        for path in (self.supervisor, self.main):
            if is_locked(path):
                os.kill(_read_process(path), signal.SIGTERM)
        with suppress(Refused):
            self._wait(lambda: not (is_locked(self.supervisor) or is_locked(self.main)), "")
            return
        for path in (self.supervisor, self.main):
            if is_locked(path):
                os.kill(_read_process(path), signal.SIGKILL)
        self._wait(lambda: not (is_locked(self.supervisor) or is_locked(self.main)), "the run does not end")

    def process(self) -> int:
        return _read_process(self.main) if is_locked(self.main) else 0

    def messages(self) -> list[str]:
        try:
            return (self.run_folder / "messages.txt").read_text(errors="replace").splitlines()[-20:]
        except OSError:
            return []

    @staticmethod
    def _wait(true: Any, problem: str) -> None:
        end = time.monotonic() + STOP_TIMEOUT
        while not true():
            if time.monotonic() > end:
                raise Refused(problem)
            time.sleep(0.05)


def lock_file(path: Path) -> int:
    """Lock a file of a process until it ends; returns its descriptor. Raises BlockingIOError if another one has it."""
    number, end = os.open(path, os.O_RDWR | os.O_CREAT, 0o600), time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(number)
                raise
            time.sleep(0.05)


def note_process(number: int, process: int) -> None:
    """Write a process id into a locked file."""
    os.ftruncate(number, 0)
    os.pwrite(number, str(process).encode(), 0)


def is_locked(path: Path) -> bool:
    """Whether the process that locked a file still runs."""
    try:
        number = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(number)
    return False


def _read_process(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
