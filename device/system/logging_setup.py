"""Logging of the command line program: levels, format, and a handler that never blocks.

Modules log with `logging.getLogger(__name__)`. Programs that import pocketsight configure logging themselves; only the
command `pocketsight` calls `configure_logging`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress

# Messages that wait to be written. When a terminal or a pipe is blocked the oldest ones are dropped.
MAX_WAITING = 100
# Seconds that the end of the program waits for messages that are still to be written.
FLUSH_TIMEOUT = 0.2

LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}

# INFO is shown without -v for faults and the address of the page, for an upload that takes minutes, and for progress on
# a workstation.
INFO_BY_DEFAULT = (
    "pocketsight.device.camera.imx500",
    "pocketsight.device.runtime.loop",
    "pocketsight.device.web.server",
    "pocketsight.train",
    "pocketsight.export",
)

# Priorities of syslog, see sd-daemon(3).
SYSLOG_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
SYSLOG_DEBUG = 7


def configure_logging(verbosity: int = 0) -> None:
    """Send log messages to standard error.

    `verbosity` is the number of -v minus the number of -q: -1 shows errors, 0 also warnings and faults, 1 also INFO,
    2 also DEBUG. Packages other than pocketsight log warnings and errors only. May be called again.
    """
    level = LEVELS[max(-1, min(verbosity, 2))]
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, NonBlockingHandler):
            root.removeHandler(handler)
            handler.close()
    handler = NonBlockingHandler()
    handler.setFormatter(JournalFormatter() if is_journal(os.environ.get("JOURNAL_STREAM")) else TextFormatter())
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("pocketsight").setLevel(level)
    for name in INFO_BY_DEFAULT:
        logging.getLogger(name).setLevel(min(level, logging.INFO) if verbosity >= 0 else level)


def flush_logging() -> None:
    """Wait for messages that are still to be written, but not long."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, NonBlockingHandler):
            handler.flush()


def is_journal(stream: str | None) -> bool:
    """Whether standard error is connected to the journal: `stream` is JOURNAL_STREAM, its "device:inode"."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def syslog_prefix(level: int) -> str:
    """The priority of a message as systemd reads it from the beginning of a line, for example "<4>" for a warning."""
    return f"<{next((priority for least, priority in SYSLOG_PRIORITIES if level >= least), SYSLOG_DEBUG)}>"


class TextFormatter(logging.Formatter):
    """One line for people: time (UTC), level, message. Messages of train and export have neither time nor level."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.plain = logging.Formatter("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record, without the line feed."""
        if record.name.startswith(("pocketsight.train", "pocketsight.export")):
            return self.plain.format(record)
        return super().format(record)


class JournalFormatter(logging.Formatter):
    """The message with its priority before each line. The journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record, without the line feed."""
        prefix = syslog_prefix(record.levelno)
        return "\n".join(prefix + line for line in super().format(record).splitlines() or [""])


class NonBlockingHandler(logging.Handler):
    """Writes to standard error in its own thread, so that a blocked terminal or pipe delays no other thread.

    Where sys.stderr was replaced, for example by a test or a notebook, it writes there, in the calling thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self.available = threading.Semaphore(0)
        self.thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record. When too many wait the oldest are dropped."""
        try:
            line = self.format(record) + "\n"
            if sys.stderr is not sys.__stderr__:
                _write_to_replacement(line)
                return
        except Exception:
            self.handleError(record)
            return
        if self.thread is None:  # the logging module holds our lock
            self.thread = threading.Thread(target=self._run, name="logging", daemon=True)
            self.thread.start()
        self.waiting.append(line)
        self.available.release()

    def flush(self) -> None:
        """Wait until all messages are written, but for at most FLUSH_TIMEOUT seconds."""
        end = time.monotonic() + FLUSH_TIMEOUT
        while self.waiting and time.monotonic() < end:
            time.sleep(0.01)

    def _run(self) -> None:
        while True:
            self.available.acquire()
            if self.waiting:
                with suppress(OSError, IndexError):  # standard error is closed, or nobody reads it
                    os.write(2, self.waiting[0].encode(errors="replace"))
                with suppress(IndexError):
                    self.waiting.popleft()


def _write_to_replacement(line: str) -> None:
    if sys.stderr is not None:  # None in a program without a console
        sys.stderr.write(line)
        sys.stderr.flush()
