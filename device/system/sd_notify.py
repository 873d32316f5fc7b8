"""TODO docstring."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress


def notify(*lines: str) -> bool:
    """Tell the service manager, where one listens: lines like "READY=1". False where nobody does. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # a name outside the file system
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.settimeout(1.0)
        link.sendto("\n".join(lines).encode(), address)
        return True
    return False


def notify_ready(status: str) -> bool:
    """The models are loaded and frames are looked at."""
    return notify("READY=1", f"STATUS={status}")


def notify_reloading() -> bool:
    """The settings are read again; say ready() when that is done."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def notify_stopping(status: str) -> bool:
    """The run is about to end."""
    return notify("STOPPING=1", f"STATUS={status}")


def watchdog_interval() -> float | None:
    """Seconds within which the service manager wants a sign of life, or None: it asks somebody else, or nobody is."""
    try:
        seconds = int(os.environ["WATCHDOG_USEC"]) / 1e6
        return seconds if int(os.environ.get("WATCHDOG_PID", os.getpid())) == os.getpid() and seconds > 0 else None
    except (KeyError, ValueError):
        return None
