"""From `--log` to sinks: what each target means, and all of them as one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketsight.device.camera.opencv import redact_url
from pocketsight.device.errors import LogError
from pocketsight.device.results import LogEntry
from pocketsight.device.sinks.base import RotationConfig, Sink
from pocketsight.device.sinks.worker import SinkWorker

if TYPE_CHECKING:
    from pocketsight.device.runtime.config import RunConfig
    from pocketsight.device.runtime.events import FaultReporter
    from pocketsight.device.runtime.status import RunStatus

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
                    "written": writer.written, "waiting": writer.waiting, "lost": writer.lost,
                    "deleted": writer.sink.entries_deleted, "bytes": writer.sink.bytes_written, "bytes_a_day": writer.bytes_per_day(),
                    "fault": writer.fault.detail if writer.fault else None,
                }
                for writer in self.workers
            },
        }  # fmt: skip

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


def open_sinks(plan: RunConfig, rotation: RotationConfig, state: RunStatus, report_fault: FaultReporter) -> SinkGroup:
    """Open all of `plan.log`. Raises LogError, with none left open, when one cannot be written."""
    places = [os.path.realpath(target) if _is_file_target(target) else target for target in plan.log]
    if twice := [target for target, place in zip(plan.log, places, strict=True) if places.count(place) > 1]:
        raise LogError(f"--log {redact_url(twice[0])} is given twice")
    sinks: list[Sink] = []
    try:
        for target in plan.log:
            sinks.append(open_sink(target, plan, rotation, state, report_fault))
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    shared = FaultAggregator(report_fault)
    return SinkGroup([SinkWorker(sink, shared.reporter_for(sink.name)) for sink in sinks])


def open_sink(
    target: str, plan: RunConfig, rotation: RotationConfig, state: RunStatus, report_fault: FaultReporter
) -> Sink:
    """The sink that stands behind one --log: - or an address or, by its ending, a file. Raises LogError."""
    if not _is_file_target(target):
        return _open_non_file(target, plan, state, report_fault)
    path = Path(target)
    if path.suffix.lower() in (".db", ".sqlite", ".sqlite3"):
        from pocketsight.device.sinks.sqlite import SqliteSink

        return SqliteSink(path, rotation, report_fault)
    if path.suffix.lower() == ".csv":
        from pocketsight.device.sinks.csv_file import open_csv

        return open_csv(path, rotation)
    from pocketsight.device.sinks.jsonl import open_jsonl

    return open_jsonl(path, rotation)


def _open_non_file(target: str, plan: RunConfig, state: RunStatus, report_fault: FaultReporter) -> Sink:
    if target == "-":
        from pocketsight.device.sinks.jsonl import StdoutSink

        return StdoutSink()
    scheme = target.partition("://")[0]
    if scheme not in ("mqtt", "mqtts"):
        raise LogError(f"--log {scheme}://... is nothing that can be written; it may be -, a file, mqtt:// or mqtts://")
    from pocketsight.device.sinks.mqtt.sink import open_mqtt

    return open_mqtt(
        target, password_file=plan.mqtt_password_file, ca_file=plan.mqtt_ca_file, state=state, folder=_state_dir(), report_fault=report_fault,
        outbox_max_bytes=plan.mqtt_queue_size, discovery_prefix=plan.mqtt_discovery_prefix,
    )  # fmt: skip


def _state_dir() -> Path:
    """Where events wait for a broker: what systemd gives a service, or the user's own folder. Raises LogError."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    folder = Path(given) if given else Path(home) / "pocketsight"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"{folder} cannot be made, where events wait for a broker: {error.strerror}") from error
    return folder


def _is_file_target(target: str) -> bool:
    return target != "-" and "://" not in target
