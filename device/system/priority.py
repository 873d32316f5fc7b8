"""Threads that step back: what they do may wait, the loop may not."""

from __future__ import annotations

import os
import threading
from contextlib import suppress


def lower_thread_priority() -> None:
    """Lower the priority of the calling thread, where the system lets us (Linux takes a thread's id here)."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
