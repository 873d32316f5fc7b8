"""Entries as a run makes them, for tests of sinks."""

from __future__ import annotations

from pocketsight.device.results import LogEntry


def face(number: int, event: str = "appeared", run: str = "20261122T041500Z-a3f2", label: str = "happy") -> LogEntry:
    """An event of a tracked face."""
    time = f"2026-11-22T04:{15 + number // 60 % 40}:{number % 60:02}.000+00:00"
    return {
        "v": 2,
        "kind": "face",
        "id": f"{run}-{number}",
        "time": time,
        "clock_synced": True,
        "event": event,
        "track_id": 7,
        "label": label,
        "first_seen": time,
        "duration_s": 1.5,
        "score": 0.8,
        "box": [1.0, 2.0, 3.0, 4.0],
    }


def frame(number: int, faces: int = 1, source: str | None = None) -> LogEntry:
    """The result of a frame."""
    one = {"track_id": 7, "box": [1.0, 2.0, 3.0, 4.0], "score": 0.8, "label": "sad", "label_score": 0.9}
    entry = {
        "v": 2,
        "kind": "frame",
        "time": "2026-11-22T04:15:00.000+00:00",
        "clock_synced": None,
        "frame": number,
        "faces": [one] * faces,
        "latency_ms": 12.3,
        "stages_ms": {"total": 1.0},
    }
    return entry if source is None else {**entry, "source": source}


def fault(number: int, event: str = "camera lost", active: bool = True) -> LogEntry:
    """A fault of the run."""
    entry: LogEntry = {
        "v": 2,
        "kind": "fault",
        "id": f"run-{number}",
        "time": "2026-11-22T04:15:00.000+00:00",
        "clock_synced": False,
        "event": event,
        "active": active,
        "detail": "no frame for 10 s",
    }
    return entry if active else {**entry, "duration_s": 34.1}
