"""open_sinks: from the values of --log to sinks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pocketsight.device.errors import LogError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import StatusView
from pocketsight.device.sinks.base import RotationConfig, Sink
from pocketsight.device.sinks.group import FaultAggregator, SinkGroup
from pocketsight.device.sinks.mqtt.config import MqttConfig
from pocketsight.device.sinks.worker import SinkWorker
from pocketsight.device.system.paths import state_dir
from pocketsight.device.system.urls import redact_url


def open_sinks(
    targets: Sequence[str],
    rotation: RotationConfig,
    mqtt_config: MqttConfig,
    status: StatusView,
    report_fault: FaultReporter,
) -> SinkGroup:
    """Open all targets, each with its own thread.

    `rotation` holds for files and databases, `mqtt_config` and `status` are for brokers. Raises LogError or ServeError
    when one cannot be opened, and closes the others.
    """
    places = [os.path.realpath(target) if _is_file(target) else target for target in targets]
    if repeated := [target for target, place in zip(targets, places, strict=True) if places.count(place) > 1]:
        raise LogError(f"--log {redact_url(repeated[0])} is given twice")
    sinks: list[Sink] = []
    try:
        for target in targets:
            sinks.append(open_sink(target, rotation, mqtt_config, status, report_fault))
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    aggregator = FaultAggregator(report_fault)
    return SinkGroup([SinkWorker(sink, aggregator.reporter_for(sink.name)) for sink in sinks])


def open_sink(
    target: str, rotation: RotationConfig, mqtt_config: MqttConfig, status: StatusView, report_fault: FaultReporter
) -> Sink:
    """Open one target: "-", an address of a broker, or a file by its suffix. Raises LogError or ServeError."""
    if target == "-":
        from pocketsight.device.sinks.jsonl import StdoutSink

        return StdoutSink()
    if not _is_file(target):
        return _open_broker(target, mqtt_config, status, report_fault)
    path = Path(target)
    if path.suffix.lower() in (".db", ".sqlite", ".sqlite3"):
        from pocketsight.device.sinks.sqlite import SqliteSink

        return SqliteSink(path, rotation, report_fault)
    if path.suffix.lower() == ".csv":
        from pocketsight.device.sinks.csv_file import open_csv

        return open_csv(path, rotation)
    from pocketsight.device.sinks.jsonl import open_jsonl

    return open_jsonl(path, rotation)


def _open_broker(target: str, config: MqttConfig, status: StatusView, report_fault: FaultReporter) -> Sink:
    scheme = target.partition("://")[0]
    if scheme not in ("mqtt", "mqtts"):
        raise LogError(f"unsupported --log target {scheme}://...; use -, a file, mqtt:// or mqtts://")
    from pocketsight.device.sinks.mqtt.factory import open_mqtt

    return open_mqtt(target, config, status, state_dir(), report_fault)


def _is_file(target: str) -> bool:
    return target != "-" and "://" not in target
