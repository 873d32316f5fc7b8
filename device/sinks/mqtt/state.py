"""The state message: the current values of a run."""

from __future__ import annotations

import time
from collections import Counter
from typing import NamedTuple

from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.results import LOG_SCHEMA_VERSION, LogEntry, StatusView, iso_timestamp
from pocketsight.device.sinks.mqtt.outbox import Outbox
from pocketsight.device.system.clock import clock_synced

FRAME_STALE_AFTER = 5.0  # seconds without a frame after which no faces are reported
STATUS_KEYS = (
    "run",
    "uptime_s",
    "fps",
    "latency_ms",
    "frames",
    "dropped",
    "temperature",
    "throttled",
    "under_voltage",
)


class CurrentState(NamedTuple):
    """The part of the state whose changes are published at once."""

    labels: dict[str, int]  # faces by label
    label: str | None  # the last label of an event
    faults: list[str]


def current_state(status: StatusView, last_label: str | None) -> CurrentState:
    """The state of this moment. A camera that has been silent for some seconds shows no faces."""
    result, max_age = status.latest, max(FRAME_STALE_AFTER, status.stale_after / 2)
    counts: Counter[str] = Counter()
    if result is not None and time.monotonic() - result.processed_monotonic < max_age:
        counts.update(face.label for face in result.faces)
    labels = {label: counts[label] for label in (*status.labels, UNSURE)}
    return CurrentState(labels, last_label, sorted(status.info.get("faults", ())))


def state_message(state: CurrentState, status: StatusView, outbox: Outbox) -> LogEntry:
    """The entry of kind "state"; values that are unknown are None."""
    snapshot = status.snapshot()
    return {
        "v": LOG_SCHEMA_VERSION,
        "kind": "state",
        "time": iso_timestamp(time.time()),
        "clock_synced": clock_synced(),
        "faces": sum(state.labels.values()),
        "labels": state.labels,
        "label": state.label,
        "faults": state.faults,
        "faces_total": snapshot["counters"].get("face appeared", 0),
        "queued": len(outbox),
        "lost": outbox.dropped,
        **{key: snapshot.get(key) for key in STATUS_KEYS},
        "models": snapshot.get("models", {}),
    }
