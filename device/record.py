"""What was seen in a frame, and the entries that are written about it. Numbers only, never pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pocketsight.device.boxes import Box
from pocketsight.device.sentiment import Sentiment

Entry = dict[str, Any]  # ready for JSON; the keys stand in device/sinks/README.md
VERSION = 1  # of the entries


@dataclass(frozen=True)
class Seen:
    """One face in one frame."""

    box: Box  # pixels of the frame; smoothed where the face is followed
    score: float  # 0..1, of the detector
    sentiment: Sentiment  # smoothed over time where the face is followed
    track: int | None = None  # the same number as long as it is followed; None where frames have nothing in common


@dataclass(frozen=True)
class Record:
    """What was seen in one frame."""

    taken: float  # seconds since the epoch
    born: float  # seconds of the monotonic clock
    frame: int  # counts from 0; dropped frames leave gaps
    source: str | None  # the picture's path, where frames are pictures
    faces: list[Seen]
    ms: dict[str, float]  # milliseconds a stage
    seen: float = field(default_factory=time.monotonic)  # when it was looked at; of a video `born` is the video's time
    others: Sequence[Box] = ()  # found, but outside the zones or not followed yet: never logged, but to be blurred


def iso(taken: float) -> str:
    """Seconds since the epoch as UTC in ISO 8601, to the millisecond."""
    return datetime.fromtimestamp(taken, UTC).isoformat(timespec="milliseconds")


def frame_entry(record: Record, age: float, synced: bool | None) -> Entry:
    """The entry of a frame. `age` is how old it was when its record was ready, in seconds; `synced` tells whether
    the clock was set by the network, None where nobody knows."""
    entry: Entry = {
        "v": VERSION,
        "kind": "frame",
        "time": iso(record.taken),
        "synced": synced,
        "frame": record.frame,
        "source": record.source,
        "faces": [_face(seen) for seen in record.faces],
        "age": round(1000 * age, 1),
        "ms": {stage: round(took, 3) for stage, took in record.ms.items()},
    }
    if record.source is None:
        del entry["source"]
    return entry


def _face(seen: Seen) -> Entry:
    face: Entry = {
        "box": [round(side, 1) for side in seen.box],
        "score": round(seen.score, 3),
        "sentiment": seen.sentiment.label,
        "sentiment_score": round(seen.sentiment.score, 3),
    }
    return face if seen.track is None else {"track": seen.track, **face}


def to_line(entry: Entry) -> str:
    """An entry as one line of JSON, without its end."""
    return json.dumps(entry, separators=(",", ":"))
