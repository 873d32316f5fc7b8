"""The terminal: keys, a status line, a progress bar."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

# Arrow keys and function keys: they begin with Escape but are not the key Escape.
ESCAPE_SEQUENCE = re.compile(r"\x1b(\[[0-9;]*[A-Za-z~]|O[A-Z])")

ReadKey = Callable[[], str]
"""Returns the key that was pressed, or "" at once."""


@contextmanager
def open_keyboard() -> Iterator[ReadKey]:
    """Yield a function that reads keys of the terminal without waiting.

    It returns "" if standard input is no terminal or belongs to another job. Ctrl-C still sends SIGINT. The settings
    of the terminal are restored at the end.
    """
    if sys.stdin is None or not sys.stdin.isatty() or not _owns_terminal(sys.stdin.fileno()):
        yield lambda: ""
        return
    terminal = sys.stdin.fileno()
    pending: list[str] = []

    def read_key() -> str:
        if not pending and _owns_terminal(terminal) and select.select([terminal], [], [], 0)[0]:
            pending.extend(ESCAPE_SEQUENCE.sub("", _read_terminal(terminal)))
        return pending.pop(0) if pending else ""

    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield read_key
    finally:
        if _owns_terminal(terminal):
            with suppress(termios.error):  # the terminal was closed
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _owns_terminal(terminal: int) -> bool:
    """Whether this job may use the terminal: the kernel stops background jobs that do."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True  # not the controlling terminal, so the kernel does not stop this job


def _read_terminal(terminal: int) -> str:
    try:
        return os.read(terminal, 64).decode(errors="ignore")
    except OSError:  # the terminal was closed
        return ""


class StatusLine:
    """One line of standard error that is overwritten, on a terminal; elsewhere only warnings are written."""

    def __init__(self) -> None:
        self.is_terminal, self.text = bool(sys.stderr and sys.stderr.isatty()), ""

    def show(self, text: str) -> None:
        """Replace the line; "" clears it."""
        if self.is_terminal and text != self.text:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self.text = text

    def warn(self, text: str) -> None:
        """Write a line that is not overwritten."""
        self.show("")
        print(text, file=sys.stderr, flush=True)


class FrameProgress:
    """A progress bar on a terminal, if the number of frames is known."""

    def __init__(self, length: int | None) -> None:
        import click

        visible = length is not None and sys.stderr and sys.stderr.isatty()
        self.bar: Any = click.progressbar(length=length, file=sys.stderr) if visible else None

    def __enter__(self) -> FrameProgress:
        if self.bar:
            self.bar.__enter__()
        return self

    def advance(self) -> None:
        """One more frame was processed."""
        if self.bar:
            self.bar.update(1)

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.render_finish()
