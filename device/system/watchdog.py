"""Ends a process whose loop is stuck, so that systemd restarts it, and sends WATCHDOG=1 to systemd meanwhile.

A camera driver or an inference can hang in C code forever. The loop announces each step with a beat, and a thread
checks that beats arrive. While they do, the thread notifies systemd. If they stop, it prints where the loop hangs and
ends the process. Code that hangs while it holds Python's lock stops this thread too: then systemd gets no message and
ends the process itself (WatchdogSec in export/deploy/pocketsight.service).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pocketsight.device.system.logging_setup import is_journal, syslog_prefix
from pocketsight.device.system.sd_notify import notify, watchdog_interval

# Exit status of a process that was stuck: EX_SOFTWARE of <sysexits.h>.
EXIT_STATUS = 70
# Seconds without a beat.
TIMEOUT = 20.0
# Seconds before the first beat: importing and loading models from a slow SD card.
LOADING_TIMEOUT = 120.0
# Seconds for the last message and for flushing the log.
GRACE_PERIOD = 2.0


class Watchdog:
    """Watches the loop of the thread that creates it, while its block runs.

    The process ends after `timeout` seconds without a beat, or `loading_timeout` seconds without the first one;
    `timeout` 0 disables this. `flush` is called before, to save the log; it may hang too.
    """

    def __init__(
        self,
        timeout: float = TIMEOUT,
        loading_timeout: float = LOADING_TIMEOUT,
        flush: Callable[[], None] | None = None,
        exit_process: Callable[[int], None] = os._exit,
    ) -> None:
        self.timeout, self.loading_timeout = timeout, loading_timeout
        self.flush, self.exit_process = flush, exit_process
        self.loop_thread_id = threading.get_ident()
        self.notify_interval = watchdog_interval()
        self.tick = min(1.0, (timeout or TIMEOUT) / 8, (self.notify_interval or TIMEOUT) / 8)
        self._beat = (0.0, "load")  # each beat is a new object: comparing them needs no clock
        self._first = self._beat
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def beat(self, activity: str) -> None:
        """Announce the next step of the loop, for example "capture". Takes a tenth of a microsecond."""
        self._beat = (time.monotonic(), activity)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=GRACE_PERIOD)

    def _watch(self) -> None:
        """Measure the time since the last beat in ticks of this thread; a late tick counts as two at most.

        A stopped process (SIGSTOP), suspend, high load and a changed clock make one late tick, so they do not look
        like a loop that is stuck.
        """
        last_beat, stuck_for, last_notified = self._beat, 0.0, float("-inf")
        last = time.monotonic()
        while not self._stop.wait(self.tick):
            now = time.monotonic()
            stuck_for += min(now - last, 2 * self.tick)
            last = now
            if self._beat is not last_beat:
                last_beat, stuck_for = self._beat, 0.0
            limit = self.loading_timeout if last_beat is self._first else self.timeout or TIMEOUT
            if stuck_for > limit and self.timeout:
                self._abort(last_beat[1], stuck_for)
                return
            if (
                self.notify_interval
                and stuck_for <= limit
                and now + self.tick - last_notified > self.notify_interval / 2
            ):
                notify("WATCHDOG=1")
                last_notified = now

    def _abort(self, activity: str, seconds: float) -> None:
        """Print the last message and flush in another thread, since a full pipe or a broken disk can block them."""
        prefix = syslog_prefix(logging.CRITICAL) if is_journal(os.environ.get("JOURNAL_STREAM")) else ""
        line = (
            f"{prefix}pocketsight is stuck in {activity} for {seconds:.0f} s{self._loop_location()} and ends with "
            f"status {EXIT_STATUS}, so that systemd restarts it; if this happens again, run: pocketsight doctor\n"
        )

        def report_and_flush() -> None:
            with suppress(OSError):
                os.write(2, line.encode())  # neither sys.stderr nor logging: the loop may hold their locks
            notify(f"STATUS=stuck in {activity} for {seconds:.0f} s")
            if self.flush:
                self.flush()

        reporter = threading.Thread(target=report_and_flush, daemon=True)
        reporter.start()
        reporter.join(timeout=GRACE_PERIOD)
        self.exit_process(EXIT_STATUS)

    def _loop_location(self) -> str:
        """The line of Python code that the loop executes, for example " (file.py:12)"."""
        frame = sys._current_frames().get(self.loop_thread_id)
        return f" ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})" if frame else ""
