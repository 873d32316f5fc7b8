"""Low priority for threads whose work may wait, unlike that of the loop."""

from __future__ import annotations

import os
import threading
from contextlib import suppress


def lower_thread_priority() -> None:
    """Lower the priority of the calling thread, if the system allows it (Linux takes a thread id here)."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
