"""Console output of long commands: messages through `logging`, progress bars, and the suggested next command."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from pocketsight.device.vision.image_kinds import describe_unread, list_unread_images

console = Console(stderr=True)
logger = logging.getLogger("pocketsight.train")

# Wrap an iteration in a progress bar. The second one is given the number of items too.
ProgressFn = Callable[[Sequence[Any]], Iterable[Any]]
SizedProgressFn = Callable[[Iterable[Any], int], Iterable[Any]]


class _ConsoleHandler(logging.Handler):
    """Prints records to standard error above a progress bar, without wrapping or color."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)
        except Exception:
            self.handleError(record)


def log_message(message: str) -> None:
    """Log a message at INFO level. It is shown by default; `pocketsight -q` hides it."""
    if not logger.handlers:
        logger.addHandler(_ConsoleHandler())
        logger.propagate = False  # the handler of the command line would print into a progress bar
    if logger.level == logging.NOTSET:  # not run by the command `pocketsight`, which sets the level
        logger.setLevel(logging.INFO)
    logger.info("%s", message)


def suggest_next(*words: object) -> None:
    """Log the command that usually comes next, quoted for a shell."""
    log_message(f"next: pocketsight {shlex.join(str(word) for word in words)}")


def log_unread_images(folder: Path) -> None:
    """Log the images in a folder that are of a kind that is not read, such as HEIC without its library."""
    if unread := list_unread_images(folder):
        log_message(describe_unread(unread))


def progress_bar(items: Iterable[Any], total: int | None = None, description: str = "reading") -> Iterable[Any]:
    """Iterate with a progress bar on standard error, if that is a terminal. The bar disappears at the end.

    `total` is the number of items, if `items` has no length.
    """
    return track(items, description, total, console=console, transient=True, disable=not console.is_terminal)


def scoring_progress(items: Sequence[Any]) -> Iterable[Any]:
    """Iterate over the images that are scored, with a progress bar."""
    return progress_bar(items, description="scoring")
