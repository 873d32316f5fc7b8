"""Starts the current release, and again when it ends: what systemd does, for boards without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pocketsight.export.deploy.on_board.service import STOP_TIMEOUT, lock_file, note_process

RESTART_DELAY = 2.0  # seconds


class Supervisor:
    """SIGUSR1 replaces the run by one of the current release; SIGTERM ends it and the supervisor."""

    def __init__(self, prefix: Path) -> None:
        self.prefix, self.folder = prefix, prefix / "run"
        self.wanted = threading.Event()  # a new run, at once
        self.is_over, self.stop_at = False, float("inf")
        self.child: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Work in the background until SIGTERM. Raises BlockingIOError if another supervisor does."""
        if os.fork():
            os._exit(0)
        os.setsid()
        os.chdir(self.prefix)
        signal.signal(signal.SIGHUP, lambda *_: None)  # a run that inherits SIG_IGN takes no reload
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._end_run)
        note_process(lock_file(self.folder / "supervisor.pid"), os.getpid())
        while not self.is_over:
            self.wanted.clear()
            self.stop_at = float("inf")
            # The archive may be of a newer version than this process.
            words = [sys.executable, "-I", str(self.prefix / "agent.pyz"), "start", str(self.prefix)]
            if not subprocess.run(words).returncode:
                self._run_release()
            if not self.is_over:
                self.wanted.wait(RESTART_DELAY)

    def _end_run(self, number: int, frame: Any) -> None:
        self.is_over = self.is_over or number == signal.SIGTERM
        self.wanted.set()
        self.stop_at = min(self.stop_at, time.monotonic() + STOP_TIMEOUT)
        if self.child:
            self.child.terminate()

    def _run_release(self) -> None:
        lock = lock_file(self.folder / "main.pid")  # the run keeps it
        note_process(lock, 0)
        environment = os.environ | {"RUNTIME_DIRECTORY": str(self.folder)}
        self.child = subprocess.Popen([self.prefix / "current/bin/service"], env=environment, pass_fds=[lock])
        note_process(lock, self.child.pid)
        os.close(lock)
        if self.wanted.is_set():  # while it was started
            self.child.terminate()
        while self.child.poll() is None:
            if time.monotonic() > self.stop_at:
                self.child.kill()
            try:
                self.child.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
