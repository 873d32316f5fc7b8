"""How every part of a run reports that something failed, and that it works again."""

from __future__ import annotations

from collections.abc import Callable

# All faults of a run, for metrics that exist before the first one.
FAULT_NAMES = (
    "broker lost",
    "broker refused",
    "camera frozen",
    "camera lost",
    "camera size changed",
    "camera stalled",
    "camera unreadable",
    "clock set",
    "disk full",
    "disk low",
    "edgetpu lost",
    "events denied",
    "hot",
    "imx500 lost",
    "log corrupt",
    "log failing",
    "messages denied",
    "outbox corrupt",
    "outbox full",
    "session taken over",
    "settings read",
    "settings refused",
    "snapshots failing",
    "throttled",
    "topic shared",
    "under-voltage",
)

FaultReporter = Callable[[str, bool, str], None]
"""Called with the name of the fault, True when it begins and False when it is over, and a detail on one line."""


def ignore_fault(fault: str, active: bool, detail: str) -> None:
    """A FaultReporter that does nothing."""
