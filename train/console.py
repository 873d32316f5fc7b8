"""What long work says while it goes on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import track

console = Console(stderr=True)


def log_message(message: str) -> None:
    """A line on standard error, above a progress bar if there is one, as it is: neither wrapped nor coloured."""
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def suggest_next(*words: object) -> None:
    """The command that comes next, ready to be pasted."""
    log_message(f"next: pocketsight {shlex.join(str(word) for word in words)}")


def progress_bar(items: Iterable[Any], total: int | None = None, description: str = "reading") -> Iterable[Any]:
    """A progress bar on standard error, on a terminal; it vanishes at the end. `count` where `items` has no length."""
    return track(items, description, total, console=console, transient=True, disable=not console.is_terminal)


def scoring_progress(items: Any) -> Any:
    """A progress bar of the pictures that are scored."""
    return progress_bar(list(items), description="scoring")


ProgressFn = Callable[[Sequence[Any]], Iterable[Any]]  # wraps an iteration in a progress bar
