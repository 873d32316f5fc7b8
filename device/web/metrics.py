"""Metrics in the format of Prometheus, computed when they are requested.

Counters exist from the start: Prometheus does not see the increase of one that is born as 1.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from pocketsight.device.faults import FAULT_NAMES
from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.results import StatusView
from pocketsight.device.web.healthcheck import check_health
from pocketsight.device.web.mjpeg import MjpegBroadcaster

FACE_EVENTS = "appeared", "changed", "left"
# Key of the status, name of the metric, help. A gauge is left out while its key is missing or None.
GAUGES = (
    ("uptime_s", "uptime_seconds", "Time since the start of the run."),
    ("fps", "frames_per_second", "Processed frames per second, recent average."),
    ("last_frame_age_s", "last_frame_age_seconds", "Age of the newest frame."),
    ("temperature", "temperature_celsius", "Temperature of the processor."),
    ("throttled", "throttled", "1 while the board throttles itself."),
    ("under_voltage", "under_voltage", "1 while the supply voltage is too low."),
    ("disk_free", "disk_free_bytes", "Free space on the disk of the log."),
    ("bytes_per_day", "log_bytes_per_day", "Growth of the log, at the rate of this run."),
    ("queued", "mqtt_queue_entries", "Events that wait for the broker."),
    ("duty", "duty_ratio", "Share of full speed allowed by --max-temperature; 1: not slowed down."),
    ("idle", "idle", "1 while nothing moves and the frame rate is reduced."),
)
COUNTERS = (
    ("frames", "frames", "Processed frames."),
    ("dropped", "frames_dropped", "Frames that arrived while another one was processed."),
    ("bytes", "log_bytes", "Bytes written to the log."),
    ("lost", "log_entries_lost", "Entries that could not be written."),
    ("outbox dropped", "mqtt_events_lost", "Events that were dropped from the queue, or that the broker denied."),
)


class MetricsCollector(Collector):
    """Reads the status of a run. `content_type` is the media type of what `render` returns."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, status: StatusView, broadcaster: MjpegBroadcaster) -> None:
        self.status, self.broadcaster = status, broadcaster
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)  # memory, CPU time, open files

    def render(self) -> bytes:
        """All metrics as text."""
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are known when the metrics are collected."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        snapshot = self.status.snapshot()
        build = {
            "python": platform.python_version(),
            **{key: str(snapshot.get(key, "")) for key in ("version", "board")},
        }
        yield InfoMetricFamily("pocketsight_build", "Version of the program, and the name of its board.", build)
        yield InfoMetricFamily("pocketsight_models", "Name and checksum by task.", snapshot.get("models", {}))
        healthy = check_health(snapshot)["ok"]
        yield GaugeMetricFamily("pocketsight_healthy", "1 while frames arrive or the run is idle.", healthy)
        yield GaugeMetricFamily("pocketsight_viewers", "Viewers of the stream.", self.broadcaster.viewers)
        counters = snapshot["counters"]
        for key, name, text in GAUGES:
            if _is_number(snapshot.get(key)):
                yield GaugeMetricFamily(f"pocketsight_{name}", text, float(snapshot[key]))
        for key, name, text in COUNTERS:
            yield CounterMetricFamily(f"pocketsight_{name}", text, snapshot.get(key, counters.get(key)) or 0)
        latency = snapshot["latency_ms"] / 1000
        yield GaugeMetricFamily("pocketsight_latency_seconds", "From capture to result, median.", latency)
        stages = {stage: ms / 1000 for stage, ms in snapshot["stages_ms"].items()}
        yield _labeled(GaugeMetricFamily, "stage_seconds", "Duration of a stage, median.", "stage", stages)
        yield from _face_metrics(snapshot)
        yield from _fault_metrics(snapshot)


def _face_metrics(snapshot: dict[str, Any]) -> Iterator[Metric]:
    faces: dict[str, float] = dict.fromkeys([*snapshot["labels"], UNSURE], 0)
    for face in snapshot["faces"]:
        faces[face["label"]] = faces.get(face["label"], 0) + 1
    yield _labeled(GaugeMetricFamily, "faces", "Faces in view.", "label", faces)
    events = dict.fromkeys(FACE_EVENTS, 0.0) | _with_prefix("face ", snapshot["counters"])
    yield _labeled(CounterMetricFamily, "face_events", "Face events: appeared, changed or left.", "event", events)
    seconds = dict.fromkeys([*snapshot["labels"], UNSURE], 0.0) | _with_prefix("seconds ", snapshot["counters"])
    yield _labeled(CounterMetricFamily, "face_seconds", "Total time of faces in view, in seconds.", "label", seconds)


def _fault_metrics(snapshot: dict[str, Any]) -> Iterator[Metric]:
    totals = dict.fromkeys(FAULT_NAMES, 0.0) | _with_prefix("fault ", snapshot["counters"])
    active = snapshot.get("faults", {})
    is_active = {name: float(name in active) for name in totals}
    yield _labeled(CounterMetricFamily, "faults", "Faults that began.", "name", totals)
    yield _labeled(GaugeMetricFamily, "fault_active", "1 while the fault lasts.", "name", is_active)


def _with_prefix(prefix: str, counters: dict[str, Any]) -> dict[str, float]:
    return {name.removeprefix(prefix): count for name, count in counters.items() if name.startswith(prefix)}


def _labeled(family: Any, name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    metric: Any = family(f"pocketsight_{name}", text, labels=[label])
    for value, number in values.items():
        metric.add_metric([value], number)
    return metric  # type: ignore[no-any-return]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
