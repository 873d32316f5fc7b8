"""TODO docstring."""

from __future__ import annotations

from collections.abc import Callable

FaultReporter = Callable[[str, bool, str], None]  # what, whether it begins or is over, and a line for people


def ignore_fault(fault: str, active: bool, detail: str) -> None:
    """For those who do not ask for faults."""
