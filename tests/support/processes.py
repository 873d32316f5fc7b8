"""Real processes for tests: started, waited for, and never left behind."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

CAPTURE = (  # pocketsight data capture without a countdown: source, folder, count, seconds
    "import sys; from pathlib import Path\n"
    "from pocketsight.device.runtime.dataset_capture import capture_images, describe_result\n"
    "from pocketsight.device.errors import PocketsightError\n"
    "source, out, count, every = sys.argv[1:]\n"
    "try: print(describe_result(capture_images(source, (480, 640), Path(out), int(count), float(every), 0, False)))\n"
    "except PocketsightError as error: sys.exit(f'Error: {error}')\n"
)


@contextmanager
def running(words: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive its test. It gets SIGHUP even if the tests run under nohup, which ignores it."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN:  # a process inherits this
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        process = subprocess.Popen(words, **options)
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
