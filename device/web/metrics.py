"""Numbers for Prometheus, worked out when it asks."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.web.healthcheck import check_health
from pocketsight.device.web.mjpeg import MjpegBroadcaster

GAUGES = (  # key of the state, name, help; a key that is not there is left out
    ("uptime", "uptime_seconds", "Since the run began."),
    ("fps", "frames_per_second", "Frames looked at, lately."),
    ("last_frame", "last_frame_age_seconds", "Since the newest frame was taken."),
    ("temperature", "temperature_celsius", "Of the processor."),
    ("throttled", "throttled", "1 while the board slows itself down."),
    ("under_voltage", "under_voltage", "1 while the supply gives too little."),
    ("disk_free", "disk_free_bytes", "Where the log is."),
    ("bytes_a_day", "log_bytes_a_day", "Written to the log, at the rate of this run."),
    ("waiting", "outbox_entries", "Waiting for the broker."),
    ("slowed", "cooling_factor", "Of the frame rate, by which the board is kept cool; 1: not slowed."),
    ("resting", "resting", "1 while nothing moves and few frames are looked at."),
)
COUNTERS = (
    ("frames", "frames", "Frames looked at."),
    ("dropped", "frames_dropped", "Frames that came while another was looked at."),
    ("bytes", "log_bytes", "Written to the log."),
    ("lost", "log_entries_lost", "Entries that could not be written."),
)


class MetricsCollector(Collector):
    """`text` in Prometheus' own format, which is of `type`."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, status: RunStatus, broadcaster: MjpegBroadcaster) -> None:
        self.status, self.broadcaster = status, broadcaster
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)  # memory, CPU, open files

    def render(self) -> bytes:
        """All of them."""
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are known when they are asked for."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """What the state holds now."""
        snapshot = self.status.snapshot()
        yield InfoMetricFamily(
            "pocketsight_build", "What runs.", {"version": _version(), "python": platform.python_version()}
        )
        yield GaugeMetricFamily(
            "pocketsight_healthy", "1 while frames come, or the run rests.", check_health(snapshot)["ok"]
        )
        yield GaugeMetricFamily("pocketsight_viewers", "Who look at the picture.", self.broadcaster.viewers)
        counters = snapshot["counters"]
        for key, name, text in GAUGES:
            if _is_number(snapshot.get(key)):
                yield GaugeMetricFamily(f"pocketsight_{name}", text, float(snapshot[key]))
        for key, name, text in COUNTERS:
            if _is_number(value := snapshot.get(key, counters.get(key))):
                yield CounterMetricFamily(f"pocketsight_{name}", text, value)
        yield GaugeMetricFamily(
            "pocketsight_frame_age_seconds", "From exposure to record, median.", snapshot["age"] / 1000
        )
        stages = {name: ms / 1000 for name, ms in snapshot["ms"].items()}
        yield _labeled(GaugeMetricFamily, "stage_seconds", "A stage of a frame, median.", "stage", stages)
        yield from _face_metrics(snapshot)
        yield from _fault_metrics(snapshot)


def _face_metrics(snapshot: dict[str, Any]) -> Iterator[Metric]:
    now: dict[str, float] = dict.fromkeys([*snapshot["labels"], UNSURE], 0)
    for face in snapshot["faces"]:
        now[face["sentiment"]] = now.get(face["sentiment"], 0) + 1
    yield _labeled(GaugeMetricFamily, "faces", "Faces in view.", "sentiment", now)
    happened = _with_prefix("face ", snapshot["counters"])
    yield _labeled(CounterMetricFamily, "face_events", "What faces did.", "what", happened)
    seconds = _with_prefix("seconds ", snapshot["counters"])
    yield _labeled(CounterMetricFamily, "face_seconds", "Faces in view, times seconds.", "sentiment", seconds)


def _fault_metrics(snapshot: dict[str, Any]) -> Iterator[Metric]:
    totals, active = _with_prefix("fault ", snapshot["counters"]), snapshot.get("faults", {})
    yield _labeled(CounterMetricFamily, "faults", "Told when they began.", "name", totals)
    yield _labeled(
        GaugeMetricFamily, "fault_active", "1 while it lasts.", "name", {name: int(name in active) for name in totals}
    )


def _with_prefix(prefix: str, counters: dict[str, Any]) -> dict[str, float]:
    return {name.removeprefix(prefix): count for name, count in counters.items() if name.startswith(prefix)}


def _labeled(family: Any, name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    metric: Any = family(f"pocketsight_{name}", text, labels=[label])
    for value, number in values.items():
        metric.add_metric([value], number)
    return metric  # type: ignore[no-any-return]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _version() -> str:
    try:
        return version("pocketsight")
    except PackageNotFoundError:
        return "unknown"
