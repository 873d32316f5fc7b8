"""What was seen in a frame, and the entries that are written about it. Numbers only, never pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pocketsight.device.inference.classifier import Classification
from pocketsight.device.vision.boxes import Box

LogEntry = dict[str, Any]  # ready for JSON; the keys stand in device/sinks/README.md
LOG_SCHEMA_VERSION = 1  # of the entries


@dataclass(frozen=True)
class FaceResult:
    """One face in one frame."""

    box: Box  # pixels of the frame; smoothed where the face is followed
    score: float  # 0..1, of the detector
    classification: Classification  # smoothed over time where the face is followed
    track_id: int | None = None  # the same number as long as it is followed; None where frames have nothing in common


@dataclass(frozen=True)
class FrameResult:
    """What was seen in one frame."""

    captured_at: float  # seconds since the epoch
    captured_monotonic: float  # seconds of the monotonic clock
    frame_index: int  # counts from 0; dropped frames leave gaps
    source: str | None  # the picture's path, where frames are pictures
    faces: list[FaceResult]
    stages_ms: dict[str, float]  # milliseconds a stage
    processed_monotonic: float = field(
        default_factory=time.monotonic
    )  # when it was looked at; of a video `born` is the video's time
    ignored_boxes: Sequence[
        Box
    ] = ()  # found, but outside the zones or not followed yet: never logged, but to be blurred


def iso_timestamp(epoch_seconds: float) -> str:
    """Seconds since the epoch as UTC in ISO 8601, to the millisecond."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds")


def frame_entry(result: FrameResult, latency: float, clock_synced: bool | None) -> LogEntry:
    """The entry of a frame. `age` is how old it was when its record was ready, in seconds; `synced` tells whether
    the clock was set by the network, None where nobody knows."""
    entry: LogEntry = {
        "v": LOG_SCHEMA_VERSION,
        "kind": "frame",
        "time": iso_timestamp(result.captured_at),
        "synced": clock_synced,
        "frame": result.frame_index,
        "source": result.source,
        "faces": [_face_entry(seen) for seen in result.faces],
        "age": round(1000 * latency, 1),
        "ms": {stage: round(took, 3) for stage, took in result.stages_ms.items()},
    }
    if result.source is None:
        del entry["source"]
    return entry


def _face_entry(face_result: FaceResult) -> LogEntry:
    face: LogEntry = {
        "box": [round(side, 1) for side in face_result.box],
        "score": round(face_result.score, 3),
        "sentiment": face_result.classification.label,
        "sentiment_score": round(face_result.classification.score, 3),
    }
    return face if face_result.track_id is None else {"track": face_result.track_id, **face}


def to_json_line(entry: LogEntry) -> str:
    """An entry as one line of JSON, without its end."""
    return json.dumps(entry, separators=(",", ":"))
