"""How every part of a run reports that something failed, and that it works again."""

from __future__ import annotations

from collections.abc import Callable

FaultReporter = Callable[[str, bool, str], None]
"""Called with the name of the fault, True when it begins and False when it is over, and a detail on one line."""


def ignore_fault(fault: str, active: bool, detail: str) -> None:
    """A FaultReporter that does nothing."""
