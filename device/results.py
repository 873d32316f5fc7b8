"""The result of a frame, and the log entries made from it. Entries hold numbers and labels, never images."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from pocketsight.device.inference.classifier import Classification
from pocketsight.device.vision.boxes import Box

LOG_SCHEMA_VERSION = 2

# Seconds after which the newest frame is out of date; runs with a low frame rate use a longer time.
DEFAULT_STALE_AFTER = 10.0

LogEntry = dict[str, Any]
"""A log entry, ready for JSON. The keys are in device/sinks/log.schema.json."""


@dataclass(frozen=True)
class FaceResult:
    """One detected object in one frame, such as a face.

    `box` is in pixels of the frame; `score` (0..1) and `object` ("face") are those of the detector. For a tracked
    object the box and the classification are smoothed over time, and `track_id` is the same number in every frame; it
    is None in images that are unrelated to each other. Where no classifier applies, `classification` has the label and
    the score of the detector.
    """

    box: Box
    score: float
    classification: Classification
    track_id: int | None = None
    object: str = "face"

    @property
    def label(self) -> str:
        """The label of the classifier, or "unsure"; without a classifier that of the detector."""
        return self.classification.label

    @property
    def label_score(self) -> float:
        """The confidence of the classifier in its most likely label, 0..1; without one the score of the detector."""
        return self.classification.score


@dataclass(frozen=True)
class FrameResult:
    """All faces of one frame, with the times it took."""

    captured_at: float  # seconds since the epoch
    captured_monotonic: float  # seconds of the monotonic clock; of a video: its own time
    frame_index: int  # counts from 0; dropped frames leave gaps
    source: str | None  # path of the image, for sources that are images
    faces: list[FaceResult]
    stages_ms: dict[str, float]  # milliseconds by stage
    processed_monotonic: float = field(default_factory=time.monotonic)  # when it was processed
    position: float | None = None  # seconds from the beginning of the recording, for sources that are videos
    ignored_boxes: Sequence[Box] = ()  # faces outside the zones or not yet tracked: never logged, but blurred


class StatusView(Protocol):
    """What the web page and the MQTT sink read from a run. RunStatus in runtime/status.py implements it."""

    @property
    def run_id(self) -> str:
        """The name of the run."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that results can have, without "unsure"."""

    @property
    def object_label(self) -> str:
        """What the detector finds, such as "face"."""

    @property
    def info(self) -> dict[str, Any]:
        """Values that other parts of the run report: temperature, camera, sinks and others."""

    @property
    def counters(self) -> dict[str, float]:
        """Totals since the start, for example "face appeared"."""

    def faces_in_view(self) -> list[FaceResult]:
        """The faces of the newest frame; none when it is some seconds old, because the camera may be lost."""

    def snapshot(self) -> dict[str, Any]:
        """The whole status, ready for JSON."""

    def events(self, since: int = 0) -> tuple[int, list[LogEntry]]:
        """The number of the newest entry, and the entries after number `since`, oldest first."""


def iso_timestamp(epoch_seconds: float) -> str:
    """Seconds since the epoch as UTC in ISO 8601, to the millisecond."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds")


def frame_entry(result: FrameResult, latency: float, clock_synced: bool | None) -> LogEntry:
    """The log entry of a frame.

    `latency` is the time from its capture to its result, in seconds. `clock_synced` is whether the network set the
    clock, None if that is unknown.
    """
    entry: LogEntry = {
        "v": LOG_SCHEMA_VERSION,
        "kind": "frame",
        "time": iso_timestamp(result.captured_at),
        "clock_synced": clock_synced,
        "frame": result.frame_index,
    }
    if result.source is not None:
        entry["source"] = result.source
    if result.position is not None:
        entry["position_s"] = round(result.position, 3)
    return entry | {
        "faces": [face_entry(face) for face in result.faces],
        "latency_ms": round(1000 * latency, 1),
        "stages_ms": round_stages(result.stages_ms),
    }


def face_entry(face: FaceResult) -> LogEntry:
    """A face as it is in log entries and in the status; `track_id` is left out where faces are not tracked."""
    entry: LogEntry = {
        "box": round_box(face.box),
        "score": round(face.score, 3),
        "object": face.object,
        "label": face.label,
        "label_score": round(face.label_score, 3),
    }
    return entry if face.track_id is None else {"track_id": face.track_id, **entry}


def round_box(box: Box) -> list[float]:
    """The sides of a box for JSON, to a tenth of a pixel."""
    return [round(side, 1) for side in box]


def round_stages(stages_ms: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds by stage for JSON, to the microsecond."""
    return {stage: round(duration, 3) for stage, duration in stages_ms.items()}


def to_json_line(entry: LogEntry) -> str:
    """An entry as one line of ASCII JSON, without the line feed."""
    return json.dumps(entry, separators=(",", ":"))
