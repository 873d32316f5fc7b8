"""One line for each board: rewritten in place on a terminal, else printed when it changes."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Sequence

import click


class Progress:
    """The lines of some boards, on standard error. Any thread may change one."""

    def __init__(self, names: Sequence[str], is_terminal: bool) -> None:
        self.lines = dict.fromkeys(names, "waiting")
        self.width = max(map(len, names), default=0)
        self.is_terminal, self._shown, self._lock = is_terminal, 0, threading.Lock()

    def show(self, name: str, text: str, color: str | None = None) -> None:
        """Change the line of a board."""
        with self._lock:
            is_news = _without_numbers(text) != _without_numbers(self.lines[name])
            self.lines[name] = text
            if self.is_terminal:
                self._redraw()
            elif is_news:
                click.secho(f"{name:{self.width}}  {text}", err=True, fg=color)

    def _redraw(self) -> None:
        columns = shutil.get_terminal_size().columns - 1
        up = f"\x1b[{self._shown}A" if self._shown else ""
        lines = [f"\x1b[2K{f'{name:{self.width}}  {text}'[:columns]}\n" for name, text in self.lines.items()]
        click.echo(up + "".join(lines), err=True, nl=False)
        self._shown = len(lines)


def _without_numbers(text: str) -> str:
    """A step counts as the same while only its numbers change."""
    return re.sub(r"[\d.]+", "", text)
