"""TODO docstring."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pocketsight.device.results import LogEntry
from pocketsight.device.sinks.worker import SinkWorker

if TYPE_CHECKING:
    from pocketsight.device.faults import FaultReporter


FLUSH_TIMEOUT = 1.5  # seconds for what waits at the end; a service has two to end


class SinkGroup:
    """Every sink of a run, each with its writer."""

    def __init__(self, workers: Sequence[SinkWorker]) -> None:
        self.workers, self.closed = workers, False

    def put(self, entry: LogEntry) -> None:
        """Hand an entry to all of them, as `Writer.put` does."""
        for writer in self.workers:
            writer.put(entry)

    def has_capacity(self, timeout: float = 0.0) -> bool:
        """Whether all can take an entry more without loss, as `Writer.has_room`."""
        end = time.monotonic() + timeout
        return all([writer.has_capacity(max(0.0, end - time.monotonic())) for writer in self.workers])

    def raise_failure(self) -> None:
        """Raise what went wrong in a writer's thread without being foreseen."""
        for writer in self.workers:
            writer.raise_failure()

    @property
    def reader_closed(self) -> bool:
        """Whether the reader of one of them has seen enough."""
        return any(writer.reader_closed for writer in self.workers)

    @property
    def failure_reason(self) -> str:
        """What keeps them from being written."""
        faults = [writer.fault.detail for writer in self.workers if writer.fault]
        slow = [f"{writer.name} takes too long" for writer in self.workers if writer.waiting]
        return "; ".join(faults + slow)

    def stats(self) -> dict[str, Any]:
        """Bytes a day of all, and what each has done since the start."""
        return {
            "bytes_a_day": sum(writer.bytes_per_day() for writer in self.workers),
            "bytes": sum(writer.sink.bytes_written for writer in self.workers),
            "lost": sum(writer.lost for writer in self.workers),
            "logs": {
                writer.name: {
                    "written": writer.written,
                    "waiting": writer.waiting,
                    "lost": writer.lost,
                    "deleted": writer.sink.entries_deleted,
                    "bytes": writer.sink.bytes_written,
                    "bytes_a_day": writer.bytes_per_day(),
                    "fault": writer.fault.detail if writer.fault else None,
                }
                for writer in self.workers
            },
        }

    def finish(self, timeout: float = FLUSH_TIMEOUT) -> int:
        """Write what waits and close all, within `seconds`; how many entries were left over."""
        end = time.monotonic() + timeout if not self.closed else 0.0  # what hung once is not waited for again
        self.closed = True
        for writer in self.workers:
            writer.stop()
        done = [writer.close(max(0.0, end - time.monotonic())) for writer in self.workers]
        return sum(max(1, writer.waiting) for writer, whole in zip(self.workers, done, strict=True) if not whole)

    def close(self) -> None:
        """As `finish`, for a run that ends in an error of its own."""
        self.finish()


class FaultAggregator:
    """Faults of several writers by the same name: begun with the first, over with the last."""

    def __init__(self, report_fault: FaultReporter) -> None:
        self.report_fault, self.lock = report_fault, threading.Lock()
        self.failing: dict[str, set[str]] = {}

    def reporter_for(self, name: str) -> FaultReporter:
        """What one writer calls."""

        def tell(what: str, begun: bool, detail: str) -> None:
            with self.lock:
                faulty = self.failing.setdefault(what, set())
                before = bool(faulty)
                (faulty.add if begun else faulty.discard)(name)
                changed = before != bool(faulty)
            if changed:
                self.report_fault(what, begun, detail)

        return tell
