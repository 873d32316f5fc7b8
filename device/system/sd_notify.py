"""Messages to systemd, see sd_notify(3). Other programs can listen on NOTIFY_SOCKET too."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress


def notify(*lines: str) -> bool:
    """Send lines such as "READY=1" to the service manager; returns False if there is none. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract socket, without a file
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1.0)
        sender.sendto("\n".join(lines).encode(), address)
        return True
    return False


def notify_ready(status: str) -> bool:
    """The models are loaded and frames are processed."""
    return notify("READY=1", f"STATUS={status}")


def notify_reloading() -> bool:
    """The settings are being read again; call `notify_ready` afterwards."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def notify_stopping(status: str) -> bool:
    """The run is about to end."""
    return notify("STOPPING=1", f"STATUS={status}")


def watchdog_interval() -> float | None:
    """Seconds within which systemd expects WATCHDOG=1 from this process; None if it does not."""
    try:
        seconds = int(os.environ["WATCHDOG_USEC"]) / 1e6
        return seconds if int(os.environ.get("WATCHDOG_PID", os.getpid())) == os.getpid() and seconds > 0 else None
    except (KeyError, ValueError):
        return None
