"""The one way in which any part of a run reports that something failed, and that it works again."""

from __future__ import annotations

from collections.abc import Callable

FaultReporter = Callable[[str, bool, str], None]
"""Called with the fault's name, True when it begins and False when it is over, and one line for people."""


def ignore_fault(fault: str, active: bool, detail: str) -> None:
    """A reporter for callers who do not want to know."""
