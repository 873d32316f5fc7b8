"""From `--log` to sinks: what each target means, and all of them as one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pocketsight.device.errors import LogError
from pocketsight.device.sinks.base import RotationConfig, Sink
from pocketsight.device.sinks.group import FaultAggregator, SinkGroup
from pocketsight.device.sinks.worker import SinkWorker
from pocketsight.device.system.urls import redact_url

if TYPE_CHECKING:
    from pocketsight.device.faults import FaultReporter
    from pocketsight.device.runtime.config import RunConfig
    from pocketsight.device.runtime.status import RunStatus


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
        target,
        password_file=plan.mqtt_password_file,
        ca_file=plan.mqtt_ca_file,
        state=state,
        folder=_state_dir(),
        report_fault=report_fault,
        outbox_max_bytes=plan.mqtt_queue_size,
        discovery_prefix=plan.mqtt_discovery_prefix,
    )


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
