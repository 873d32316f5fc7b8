"""Entries as a run makes them, for tests of sinks."""

from __future__ import annotations

from pocketsight.device.results import LogEntry


def face(number: int, what: str = "appeared", run: str = "20261122T041500Z-a3f2") -> LogEntry:
    """What the tracker tells of a face."""
    time = f"2026-11-22T04:{15 + number // 60 % 40}:{number % 60:02}.000+00:00"
    return {
        "v": 1,
        "kind": "face",
        "id": f"{run}-{number}",
        "time": time,
        "synced": True,
        "what": what,
        "track": 7,
        "sentiment": "happy",
        "start": time,
        "seconds": 1.5,
        "score": 0.8,
        "box": [1.0, 2.0, 3.0, 4.0],
    }


def frame(number: int, faces: int = 1, source: str | None = None) -> LogEntry:
    """What a frame shows."""
    one = {"track": 7, "box": [1.0, 2.0, 3.0, 4.0], "score": 0.8, "sentiment": "sad", "sentiment_score": 0.9}
    entry = {
        "v": 1,
        "kind": "frame",
        "time": "2026-11-22T04:15:00.000+00:00",
        "synced": None,
        "frame": number,
        "faces": [one] * faces,
        "age": 12.3,
        "ms": {"whole": 1.0},
    }
    return entry if source is None else {**entry, "source": source}


def fault(number: int) -> LogEntry:
    """What the run tells of itself."""
    return {
        "v": 1,
        "kind": "fault",
        "id": f"run-{number}",
        "time": "2026-11-22T04:15:00.000+00:00",
        "synced": False,
        "what": "camera lost",
        "begun": True,
        "detail": "no frame for 10 s",
    }
