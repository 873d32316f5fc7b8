"""The state message: the current values of a run."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from typing import NamedTuple

from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.results import LOG_SCHEMA_VERSION, LogEntry, StatusView, iso_timestamp
from pocketsight.device.sinks.mqtt.outbox import Outbox
from pocketsight.device.system.clock import clock_synced

STATUS_KEYS = (
    "board",
    "version",
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
    lost: int  # events


def current_state(status: StatusView, last_label: str | None, lost: int) -> CurrentState:
    """The state of this moment. A camera that has been silent for some seconds shows no faces."""
    counts = Counter(face.label for face in status.faces_in_view())
    labels = {label: counts[label] for label in (*status.labels, UNSURE)}
    return CurrentState(labels, last_label, sorted(status.info.get("faults", ())), lost)


def state_message(state: CurrentState, status: StatusView, outbox: Outbox, client_id: str) -> LogEntry:
    """The entry of kind "state"; values that are unknown are None."""
    snapshot = status.snapshot()
    return {
        "v": LOG_SCHEMA_VERSION,
        "kind": "state",
        "host": socket.gethostname(),
        "client": client_id,
        "time": iso_timestamp(time.time()),
        "clock_synced": clock_synced(),
        "faces": sum(state.labels.values()),
        "labels": state.labels,
        "label": state.label,
        "faults": state.faults,
        "faces_total": snapshot["counters"].get("face appeared", 0),
        "queued": len(outbox),
        "lost": state.lost,
        **{key: snapshot.get(key) for key in STATUS_KEYS},
        "models": snapshot.get("models", {}),
    }


def other_run(text: bytes, run_id: str) -> tuple[str, str]:
    """Which run published a state, for messages, and its client id; empty if it was the run `run_id`, or unknown."""
    try:
        state = json.loads(text)
        run, host, client_id = state["run"], state["host"], state["client"]
    except (ValueError, KeyError, TypeError):
        return "", ""
    return ("", "") if run == run_id else (f"run {run} on {host}", client_id)
