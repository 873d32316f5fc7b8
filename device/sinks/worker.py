"""A thread and a queue between the loop and a sink, so that a slow disk or broker never stalls the camera."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pocketsight.device.errors import LogError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import LogEntry
from pocketsight.device.sinks.base import DiskFull, Sink
from pocketsight.device.system.backoff import Backoff

QUEUE_SIZE = 5000  # entries: days of events, or minutes of frames; about 20 MB
BATCH_SIZE = 500  # entries per write
IDLE_INTERVAL = 1.0  # seconds between calls of a sink without entries
RETRY_DELAYS = 1.0, 30.0  # seconds: first and longest delay between two attempts of a failing sink
SECONDS_PER_DAY = 86_400.0
LOG_FAILING, DISK_FULL = "log failing", "disk full"


@dataclass(frozen=True)
class SinkFault:
    """Why a sink cannot be written."""

    name: str
    detail: str
    lost_before: int  # entries lost before the fault began


class SinkWorker:
    """Owns a sink and the only thread that calls it.

    A failing sink is tried again, with backoff, until it works. Entries wait in a queue of `queue_size`; when it is
    full, the oldest are dropped and counted in `lost`. `report_fault` is called when this begins and when it is over.
    """

    def __init__(self, sink: Sink, report_fault: FaultReporter, queue_size: int = QUEUE_SIZE) -> None:
        self.sink, self.report_fault, self.name = sink, report_fault, sink.name
        self.written = self.lost = 0  # entries
        self.fault: SinkFault | None = None
        self._queue_size, self._batch_size = queue_size, max(1, min(BATCH_SIZE, queue_size // 2))
        self._backoff, self._started = Backoff(*RETRY_DELAYS), time.monotonic()
        self._queue: deque[LogEntry] = deque()
        self._condition = threading.Condition()
        self._in_flight = 0  # entries that were taken from the queue and are not yet written
        self._closing = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"log {self.name}", daemon=True)
        self._thread.start()

    def put(self, entry: LogEntry, block: bool = False) -> None:
        """Queue an entry. Never waits, except with `block` while the queue is half full.

        Raises what `raise_failure` raises.
        """
        while block and not self.has_capacity(IDLE_INTERVAL):
            pass
        self.raise_failure()
        if self.reader_closed:
            return
        with self._condition:
            is_full = len(self._queue) >= self._queue_size
            if is_full:
                self._queue.popleft()
                self.lost += 1
            self._queue.append(entry)
            if len(self._queue) in (1, self._batch_size):  # between the two the thread collects entries
                self._condition.notify_all()
        if is_full:
            self._begin_fault(LOG_FAILING, f"{self.name} is too slow; the oldest queued entries are dropped")

    def has_capacity(self, timeout: float = 0.0) -> bool:
        """Whether the entries of a frame fit into the queue; waits up to `timeout` seconds until they do.

        Raises what `raise_failure` raises, and LogError when the queue is full because the sink fails.
        """
        with self._condition:
            free = self._condition.wait_for(lambda: len(self._queue) <= self._queue_size // 2 or self._failure, timeout)
        self.raise_failure()
        if not free and self.fault:
            raise LogError(self.fault.detail)
        return bool(free)

    def raise_failure(self) -> None:
        """Raise an unexpected exception of the thread."""
        if self._failure and not self.reader_closed:
            raise self._failure

    @property
    def reader_closed(self) -> bool:
        """Whether the reader of a pipe has closed it."""
        return isinstance(self._failure, BrokenPipeError)

    @property
    def queued(self) -> int:
        """Entries that are not yet written."""
        return len(self._queue) + self._in_flight

    def bytes_per_day(self) -> int:
        """Bytes written in a day at the rate since the start. The first hour counts as a whole hour."""
        return round(self.sink.bytes_written * SECONDS_PER_DAY / max(3600.0, time.monotonic() - self._started))

    def stats(self) -> dict[str, Any]:
        """Totals since the start, for the status of the run."""
        return {
            "written": self.written,
            "queued": self.queued,
            "lost": self.lost,
            "deleted": self.sink.entries_deleted,
            "bytes": self.sink.bytes_written,
            "bytes_per_day": self.bytes_per_day(),
            "fault": self.fault.detail if self.fault else None,
        }

    def stop(self) -> None:
        """Make the thread write queued entries without further delay, and end."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()

    def close(self, timeout: float = 1.5) -> bool:
        """Stop, and wait up to `timeout` seconds. Returns whether all entries were written.

        Raises what `raise_failure` raises.
        """
        self.stop()
        self._thread.join(timeout)
        self.raise_failure()
        return self.reader_closed or not (self._thread.is_alive() or self._queue or self.fault)

    def _run(self) -> None:
        try:
            while self._write_batch():
                pass
            self._close_sink()
        except Exception as error:
            self._failure = error
            with suppress(Exception):
                self.sink.close()
        with self._condition:
            self._condition.notify_all()

    def _write_batch(self) -> bool:
        """Write the next batch; False when the thread must end."""
        batch = self._next_batch()
        if not batch and self._closing:
            return False
        try:
            self.sink.write(batch)
        except LogError as error:
            self._requeue(batch)
            self._begin_fault(DISK_FULL if isinstance(error, DiskFull) else LOG_FAILING, str(error))
            return self._wait_before_retry()
        self.written += len(batch)
        self._in_flight = 0
        self._end_fault()
        return True

    def _next_batch(self) -> list[LogEntry]:
        """The next entries, in order; empty if none arrives for IDLE_INTERVAL."""
        with self._condition:
            self._condition.wait_for(lambda: self._queue or self._closing, timeout=IDLE_INTERVAL)
            if self._queue:
                self._condition.wait_for(
                    lambda: len(self._queue) >= self._batch_size or self._closing, timeout=self.sink.batch_interval
                )
            batch = [self._queue.popleft() for _ in range(min(self._batch_size, len(self._queue)))]
            self._in_flight = len(batch)
            self._condition.notify_all()  # for callers that wait for capacity
            return batch

    def _requeue(self, batch: list[LogEntry]) -> None:
        """Put a batch back that could not be written."""
        with self._condition:
            self._in_flight = 0
            self._queue.extendleft(reversed(batch))
            while len(self._queue) > self._queue_size:
                self._queue.popleft()
                self.lost += 1

    def _wait_before_retry(self) -> bool:
        """Wait before the next attempt; False when there must be none."""
        with self._condition:
            if self._closing:
                return False
            self._condition.wait_for(lambda: self._closing, timeout=self._backoff.next_delay())
            return True

    def _begin_fault(self, name: str, detail: str) -> None:
        with self._condition:
            if self.fault:
                return
            self.fault = SinkFault(name, detail, self.lost)
        self.report_fault(name, True, detail)

    def _end_fault(self) -> None:
        self._backoff.reset()
        if self.fault and len(self._queue) <= self._queue_size // 2:
            fault, self.fault = self.fault, None
            lost = self.lost - fault.lost_before
            self.report_fault(fault.name, False, f"{self.name} is written again; {lost} entries were lost")

    def _close_sink(self) -> None:
        try:
            try:
                self.sink.write(())  # the last chance to report a fault and to flush
            finally:
                self.sink.close()
        except LogError as error:
            self._begin_fault(LOG_FAILING, str(error))
