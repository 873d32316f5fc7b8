"""TODO docstring."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

ESCAPE_SEQUENCE = re.compile(
    r"\x1b(\[[0-9;]*[A-Za-z~]|O[A-Z])"
)  # how a terminal tells of arrows and their like: no Escape


ReadKey = Callable[[], str]


@contextmanager
def open_keyboard() -> Iterator[ReadKey]:
    """Keys of the terminal: each call gives one, or "" at once.

    Always "" where standard input is no terminal, or belongs to another job. Ctrl-C stays a signal, and the terminal
    is put back as it was.
    """
    if sys.stdin is None or not sys.stdin.isatty() or not _owns_terminal(sys.stdin.fileno()):
        yield lambda: ""
        return
    terminal = sys.stdin.fileno()
    waiting: list[str] = []

    def read_key() -> str:
        if not waiting and _owns_terminal(terminal) and select.select([terminal], [], [], 0)[0]:
            waiting.extend(ESCAPE_SEQUENCE.sub("", _read_terminal(terminal)))
        return waiting.pop(0) if waiting else ""

    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield read_key
    finally:
        if _owns_terminal(terminal):
            with suppress(termios.error):  # the line was hung up
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _owns_terminal(terminal: int) -> bool:
    """Whether the terminal may be touched: the kernel stops a job in the background that does."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True  # not the terminal that rules our jobs, so nothing stops us


def _read_terminal(terminal: int) -> str:
    try:
        return os.read(terminal, 64).decode(errors="ignore")
    except OSError:  # hung up
        return ""


class StatusLine:
    """One line of standard error, written over and over on a terminal; elsewhere only warnings are written."""

    def __init__(self) -> None:
        self.is_terminal, self.text = bool(sys.stderr and sys.stderr.isatty()), ""

    def show(self, text: str) -> None:
        """Replace the line; "" clears it."""
        if self.is_terminal and text != self.text:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self.text = text

    def warn(self, text: str) -> None:
        """A line that stays."""
        self.show("")
        print(text, file=sys.stderr, flush=True)


class StderrWriter:
    """Lines for standard error, written by a thread of its own: nobody may read them, and the loop must not wait."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=100)
        self.available = threading.Semaphore(0)
        threading.Thread(target=self._run, name="speaker", daemon=True).start()

    def write(self, line: str) -> None:
        """Takes a line; any thread may call it. When too many wait the oldest are forgotten."""
        self.lines.append(line)
        self.available.release()

    def flush(self, seconds: float = 0.2) -> None:
        """Wait for what is being written, but not long."""
        end = time.monotonic() + seconds
        while self.lines and time.monotonic() < end:
            time.sleep(0.01)

    def _run(self) -> None:
        while True:
            self.available.acquire()
            if self.lines:
                with suppress(OSError, IndexError):  # it was closed, or nobody reads; the log has it all
                    os.write(2, self.lines[0].encode(errors="replace") + b"\n")
                with suppress(IndexError):
                    self.lines.popleft()


class FrameProgress:
    """Frames done, on a terminal, where their number is known."""

    def __init__(self, length: int | None) -> None:
        import click

        visible = length is not None and sys.stderr and sys.stderr.isatty()
        self.bar: Any = click.progressbar(length=length, file=sys.stderr) if visible else None

    def __enter__(self) -> FrameProgress:
        if self.bar:
            self.bar.__enter__()
        return self

    def advance(self) -> None:
        """One more is done."""
        if self.bar:
            self.bar.update(1)

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.render_finish()
