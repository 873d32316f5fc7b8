"""`train --tensorboard`: the page of TensorBoard while a training runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import IO

from pocketsight.device.errors import DataError
from pocketsight.device.system.desktop import has_display
from pocketsight.device.system.install_hint import install_command
from pocketsight.train.console import log_message

ADDRESS = re.compile(r"at (http://\S+)")
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}  # the card is for the training


def require_tensorboard() -> None:
    """Raises DataError, with the command that installs it, when TensorBoard is missing."""
    if not find_spec("tensorboard") or not find_spec("tensorboardX"):
        raise DataError(f"TensorBoard is not installed; install it with: {install_command('train')}")


@contextmanager
def show_tensorboard(folder: Path) -> Iterator[None]:
    """Serve the event files below `folder` on 127.0.0.1 while the block runs, and open a browser if there is a display.

    The port is 6006, or the next free one. Logs the address.
    """
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", "127.0.0.1"]
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT
    ) as process:
        assert process.stderr
        reader = Thread(target=_open_page, args=(process.stderr,), daemon=True)
        reader.start()
        before = signal.signal(signal.SIGTERM, _exit)  # or `kill` would leave the page running
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
            process.terminate()
            reader.join()


def _open_page(lines: IO[str]) -> None:
    """Log the address that TensorBoard prints, and open it. Reads to the end, or TensorBoard would wait."""
    found, last = None, ""
    for line in lines:
        last = line.strip() or last
        if not found and (found := ADDRESS.search(line)):
            log_message(f"TensorBoard: {found[1]} (until the training ends)")
            if has_display():
                webbrowser.open(found[1])
    if not found:
        log_message(f"TensorBoard did not start: {last}")


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
