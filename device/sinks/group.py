"""All sinks of a run as one, and faults that several sinks share."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import LogEntry
from pocketsight.device.sinks.worker import SinkWorker

FLUSH_TIMEOUT = 1.5  # seconds to write queued entries at the end; systemd allows a service two


class SinkGroup:
    """All sinks of a run, each with its worker."""

    def __init__(self, workers: Sequence[SinkWorker]) -> None:
        self.workers, self.closed = workers, False

    def put(self, entry: LogEntry) -> None:
        """Pass an entry to all sinks; see SinkWorker.put."""
        for worker in self.workers:
            worker.put(entry)

    def has_capacity(self, timeout: float = 0.0) -> bool:
        """Whether all sinks can take more entries without loss; see SinkWorker.has_capacity."""
        end = time.monotonic() + timeout
        return all([worker.has_capacity(max(0.0, end - time.monotonic())) for worker in self.workers])

    def raise_failure(self) -> None:
        """Raise an unexpected exception of a worker's thread."""
        for worker in self.workers:
            worker.raise_failure()

    @property
    def reader_closed(self) -> bool:
        """Whether the reader of a pipe has closed it."""
        return any(worker.reader_closed for worker in self.workers)

    @property
    def failure_reason(self) -> str:
        """Why entries cannot be written."""
        faults = [worker.fault.detail for worker in self.workers if worker.fault]
        slow = [f"{worker.name} is too slow" for worker in self.workers if worker.queued]
        return "; ".join(faults + slow)

    def stats(self) -> dict[str, Any]:
        """Totals since the start, and those of each sink, for the status of the run."""
        return {
            "bytes_per_day": sum(worker.bytes_per_day() for worker in self.workers),
            "bytes": sum(worker.sink.bytes_written for worker in self.workers),
            "lost": sum(worker.lost for worker in self.workers),
            "sinks": {worker.name: worker.stats() for worker in self.workers},
        }

    def finish(self, timeout: float = FLUSH_TIMEOUT) -> int:
        """Write queued entries and close all sinks within `timeout` seconds.

        Returns the number of entries that were not written. Raises what SinkWorker.raise_failure raises.
        """
        end = time.monotonic() + timeout if not self.closed else 0.0  # do not wait twice for a sink that hangs
        self.closed = True
        for worker in self.workers:
            worker.stop()
        finished = [worker.close(max(0.0, end - time.monotonic())) for worker in self.workers]
        return sum(max(1, worker.queued) for worker, done in zip(self.workers, finished, strict=True) if not done)

    def close(self) -> None:
        """Like `finish`, for a run that ends with an error."""
        self.finish()


class FaultAggregator:
    """Merges equal faults of several sinks: a fault begins with the first sink and is over with the last one."""

    def __init__(self, report_fault: FaultReporter) -> None:
        self.report_fault, self.lock = report_fault, threading.Lock()
        self.failing: dict[str, set[str]] = {}  # names of sinks by fault

    def reporter_for(self, sink_name: str) -> FaultReporter:
        """The reporter for one sink."""

        def report(fault: str, active: bool, detail: str) -> None:
            with self.lock:
                failing = self.failing.setdefault(fault, set())
                was_active = bool(failing)
                (failing.add if active else failing.discard)(sink_name)
                changed = was_active != bool(failing)
            if changed:
                self.report_fault(fault, active, detail)

        return report
