"""The status of a run as a file, for whoever asks on this machine; see RuntimeDirectory in systemd.exec(5)."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from pocketsight.device.runtime.status import RunStatus

# Seconds between two versions of the file.
INTERVAL = 2.0


class StatusFile:
    """status.json in RUNTIME_DIRECTORY, which the service gives; without it nothing is written.

    Its content is the status of the web page and the process id. It is not flushed to the disk: it is only true while
    the process runs.
    """

    def __init__(self, status: RunStatus) -> None:
        folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        self.status, self.path = status, Path(folder) / "status.json" if folder else None
        self._next_time = 0.0

    def update(self, now: float) -> None:
        """Write the file if it is due; `now` is monotonic seconds. A disk that is full or gone is ignored."""
        if self.path is None or now < self._next_time:
            return
        self._next_time = now + INTERVAL
        part = self.path.with_suffix(".part")
        with suppress(OSError):
            part.write_text(json.dumps({"pid": os.getpid(), "time": time.time(), **self.status.snapshot()}))
            part.replace(self.path)
