"""A loop that is stuck ends its process, so that systemd starts it again; and what systemd is told meanwhile.

A camera's driver or an inference can hang in C code for ever. The loop says what it is about to do; a thread of its own
watches that it goes on saying so. While it does, systemd hears a sign of life. When it does not, the thread says what
hangs and ends the process. Code that hangs while it holds Python's lock stops this thread too: then the signs of life
stay away, and systemd ends the process itself (WatchdogSec in scripts/pocketsight.service).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pocketsight.device.system.sd_notify import notify, watchdog_interval

EXIT_STATUS = 70  # of a process that was stuck: EX_SOFTWARE of <sysexits.h>
TIMEOUT = 20.0  # seconds without a beat
LOADING_TIMEOUT = 120.0  # seconds before the first beat: importing and opening models from a slow card
GRACE_PERIOD = 2.0  # seconds for last words and for flushing


class Watchdog:
    """Watches one loop, in the thread that made it. A context: it watches from entering to leaving.

    `limit` is in seconds without a beat; before the first beat it is `loading`; 0: never end the process. `flush` is a
    last attempt to save what was seen; it may hang, too.
    """

    def __init__(
        self,
        timeout: float = TIMEOUT,
        loading_timeout: float = LOADING_TIMEOUT,
        flush: Callable[[], None] | None = None,
        exit_process: Callable[[int], None] = os._exit,
    ) -> None:
        self.timeout, self.loading_timeout, self.flush, self.exit_process = (
            timeout,
            loading_timeout,
            flush,
            exit_process,
        )
        self.loop_thread_id = threading.get_ident()
        self.notify_interval = watchdog_interval()
        self.tick = min(1.0, (timeout or TIMEOUT) / 8, (self.notify_interval or TIMEOUT) / 8)
        self._beat = (0.0, "load")  # a new pair is a new beat: telling them apart needs no clock
        self._first = self._beat
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def beat(self, activity: str) -> None:
        """The loop lives, and is about to do this: "capture", "detect", ... Costs a tenth of a microsecond."""
        self._beat = (time.monotonic(), activity)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=GRACE_PERIOD)

    def _watch(self) -> None:
        """Count the time since the last beat in our own ticks, none longer than two.

        A process that was stopped (SIGSTOP), a machine that slept or was too busy for us, and a clock that was set
        look like one late tick then, and not like a loop that hangs.
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
        """Last words and flushing are left to another thread, since a full pipe or a sick disk may hold them up."""
        line = (
            f"pocketsight is stuck in {activity} for {seconds:.0f} s{self._loop_location()} and ends itself with status {EXIT_STATUS}, "
            "so that systemd starts it again; if this comes again, run: pocketsight doctor\n"
        )

        def last_words() -> None:
            with suppress(OSError):
                os.write(2, line.encode())  # not sys.stderr: the loop may hold its lock
            notify(f"STATUS=stuck in {activity} for {seconds:.0f} s")
            if self.flush:
                self.flush()

        words = threading.Thread(target=last_words, daemon=True)
        words.start()
        words.join(timeout=GRACE_PERIOD)
        self.exit_process(EXIT_STATUS)

    def _loop_location(self) -> str:
        """Where the loop stands in Python, as " (file.py:12)"."""
        frame = sys._current_frames().get(self.loop_thread_id)
        return f" ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})" if frame else ""
