"""A thread between the loop and a sink, so that a disk or a broker that stalls never stalls the camera."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from pocketsight.device.errors import LogError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import LogEntry
from pocketsight.device.sinks.base import DiskFull, Sink

QUEUE_SIZE = 5000  # entries that may wait: days of events, minutes of frames, some 20 MB
BATCH_SIZE = 500  # entries that are written at a time
IDLE_INTERVAL = 1.0  # seconds after which a sink is called also without entries
RETRY_DELAYS = 1.0, 30.0  # seconds between two tries of a sink that fails: at first, at most
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class SinkFault:
    """What keeps a sink from being written."""

    name: str
    detail: str
    lost_before: int  # entries lost before it began


class SinkWorker:
    """Owns a sink, and the only thread that calls it.

    A sink that fails is tried again until it works; what comes meanwhile waits, and when too much waits the oldest
    goes and is counted. `tell` hears when that begins and when it is over.
    """

    def __init__(self, sink: Sink, report_fault: FaultReporter, queue_size: int = QUEUE_SIZE) -> None:
        self.sink, self.report_fault, self.name = sink, report_fault, sink.name
        self.written = self.lost = 0  # entries
        self.fault: SinkFault | None = None
        self._queue_size, self._batch_size = queue_size, max(1, min(BATCH_SIZE, queue_size // 2))
        self._retry_delay, self._started = RETRY_DELAYS[0], time.monotonic()
        self._queue: deque[LogEntry] = deque()
        self._condition = threading.Condition()
        self._in_flight = 0  # entries taken from the queue and not yet written
        self._closing = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"log {self.name}", daemon=True)
        self._thread.start()

    def put(self, entry: LogEntry, block: bool = False) -> None:
        """Hand over an entry. Never blocks, unless it is to `wait` until there is room. Raises what `check` raises."""
        while block and not self.has_capacity(IDLE_INTERVAL):
            pass
        self.raise_failure()
        if self.reader_closed:
            return
        with self._condition:
            crowded = len(self._queue) >= self._queue_size
            if crowded:
                self._queue.popleft()
                self.lost += 1
            self._queue.append(entry)
            if len(self._queue) in (1, self._batch_size):  # between them the thread gathers
                self._condition.notify_all()
        if crowded:
            self._begin_fault("log lost", f"{self.name} takes too long; of what waits the oldest goes")

    def has_capacity(self, timeout: float = 0.0) -> bool:
        """Whether what one frame brings can wait without loss; gives it so many seconds to become true.

        Raises what `check` raises, and LogError where there is no room because the sink fails.
        """
        with self._condition:
            free = self._condition.wait_for(lambda: len(self._queue) <= self._queue_size // 2 or self._failure, timeout)
        self.raise_failure()
        if not free and self.fault:
            raise LogError(self.fault.detail)
        return bool(free)

    def raise_failure(self) -> None:
        """Raise what went wrong in the thread without being foreseen."""
        if self._failure and not self.reader_closed:
            raise self._failure

    @property
    def reader_closed(self) -> bool:
        """Whether nobody reads on: the other end of a pipe was closed."""
        return isinstance(self._failure, BrokenPipeError)

    @property
    def waiting(self) -> int:
        """Entries not yet written."""
        return len(self._queue) + self._in_flight

    def bytes_per_day(self) -> int:
        """What is written in a day if it goes on as since the start; the first hour counts as a whole one."""
        return round(self.sink.bytes_written * SECONDS_PER_DAY / max(3600.0, time.monotonic() - self._started))

    def stop(self) -> None:
        """Let the thread write what waits, without another pause, and end."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()

    def close(self, timeout: float = 1.5) -> bool:
        """Stop, and wait as many seconds; whether everything went out. Raises what `check` raises."""
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
        """Write what was gathered; False when it is time to end."""
        batch = self._next_batch()
        if not batch and self._closing:
            return False
        try:
            self.sink.write(batch)
        except LogError as error:
            self._requeue(batch)
            self._begin_fault("disk full" if isinstance(error, DiskFull) else "log lost", str(error))
            return self._wait_before_retry()
        self.written += len(batch)
        self._in_flight = 0
        self._end_fault()
        return True

    def _next_batch(self) -> list[LogEntry]:
        """The next entries, in order; none if none came for a while."""
        with self._condition:
            self._condition.wait_for(lambda: self._queue or self._closing, timeout=IDLE_INTERVAL)
            if self._queue:
                self._condition.wait_for(
                    lambda: len(self._queue) >= self._batch_size or self._closing, timeout=self.sink.batch_interval
                )
            batch = [self._queue.popleft() for _ in range(min(self._batch_size, len(self._queue)))]
            self._in_flight = len(batch)
            self._condition.notify_all()  # there is room
            return batch

    def _requeue(self, batch: list[LogEntry]) -> None:
        """Put back what could not be written."""
        with self._condition:
            self._in_flight = 0
            self._queue.extendleft(reversed(batch))
            while len(self._queue) > self._queue_size:
                self._queue.popleft()
                self.lost += 1

    def _wait_before_retry(self) -> bool:
        """Wait before the next try, longer each time; False when there shall be none."""
        with self._condition:
            if self._closing:
                return False
            self._condition.wait_for(lambda: self._closing, timeout=self._retry_delay)
            self._retry_delay = min(RETRY_DELAYS[1], 2 * self._retry_delay)
            return True

    def _begin_fault(self, name: str, detail: str) -> None:
        with self._condition:
            if self.fault:
                return
            self.fault = SinkFault(name, detail, self.lost)
        self.report_fault(name, True, detail)

    def _end_fault(self) -> None:
        self._retry_delay = RETRY_DELAYS[0]
        if self.fault and len(self._queue) <= self._queue_size // 2:
            fault, self.fault = self.fault, None
            self.report_fault(
                fault.name, False, f"{self.name} is written again; {self.lost - fault.lost_before} entries were lost"
            )

    def _close_sink(self) -> None:
        try:
            try:
                self.sink.write(())  # the last occasion for what is overdue
            finally:
                self.sink.close()
        except LogError as error:
            self._begin_fault("log lost", str(error))
