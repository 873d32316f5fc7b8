"""From records to what happened: a face appears, changes, leaves; a fault begins and is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from secrets import token_hex

from pocketsight.device.results import LOG_SCHEMA_VERSION, LogEntry, iso_timestamp
from pocketsight.device.tracking.tracker import Track


def make_run_id() -> str:
    """A name that no other run has, as 20261122T041500Z-a3f2c5d1: a Pi without a clock may start at one time often."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(4)}"


class RecordFactory:
    """Gives entries their common keys, each its own id."""

    def __init__(self, run_id: str, clock_synced: Callable[[], bool | None]) -> None:
        self.run_id, self.clock_synced, self.count = run_id, clock_synced, 0
        self.lock = threading.Lock()

    def make_record(self, kind: str, event: str, captured_at: float, **more: object) -> LogEntry:
        """An entry of what happened at `taken`, seconds since the epoch."""
        with self.lock:
            self.count += 1
            number = self.count
        return {
            "v": LOG_SCHEMA_VERSION,
            "kind": kind,
            "id": f"{self.run_id}-{number}",
            "time": iso_timestamp(captured_at),
            "synced": self.clock_synced(),
            "what": event,
            **more,
        }


class EventDetector:
    """What the tracks did since the last frame."""

    def __init__(self, record_factory: RecordFactory) -> None:
        self.record_factory = record_factory
        self.last_labels: dict[int, str] = {}  # the sentiment last told, by track

    def update(self, tracks: Iterable[Track], ended: Iterable[Track], captured_at: float) -> list[LogEntry]:
        """Entries, in order: of those that left, then of those that are there. `taken`: seconds since the epoch."""
        entries = [
            self._face_event("left", track, captured_at)
            for track in ended
            if self.last_labels.pop(track.id, None) is not None
        ]
        for track in tracks:
            previous, label = self.last_labels.get(track.id), track.classification.label
            if previous is None:
                entries.append(self._face_event("appeared", track, captured_at))
            elif previous != label:
                entries.append(self._face_event("changed", track, captured_at) | {"was": previous})
            self.last_labels[track.id] = label
        return entries

    def _face_event(self, event: str, track: Track, captured_at: float) -> LogEntry:
        return self.record_factory.make_record(
            "face",
            event,
            captured_at,
            track=track.id,
            sentiment=track.classification.label,
            start=iso_timestamp(track.first_seen_at),
            seconds=round(track.last_seen_monotonic - track.first_seen_monotonic, 2),
            score=round(track.best_score, 3),
            box=[round(side, 1) for side in track.box],
        )


class Faults:
    """Faults that last: each is told when it begins and when it is over. Any thread may call `tell`."""

    def __init__(self, record_factory: RecordFactory, publish: Callable[[LogEntry], None]) -> None:
        self.record_factory, self.publish = record_factory, publish
        self.active: dict[str, tuple[float, str]] = {}  # since when (monotonic), and the detail
        self.lock = threading.Lock()

    def report(self, name: str, active: bool, detail: str) -> None:
        """A fault begins or is over; one that goes on is not told twice."""
        now = time.monotonic()
        with self.lock:
            since = self.active.pop(name, None)
            if active:
                self.active[name] = since or (now, detail)
            if active == (since is not None):
                return
        entry = self.record_factory.make_record("fault", name, time.time(), begun=active, detail=detail)
        if since:
            entry["seconds"] = round(now - since[0], 2)
        self.publish(entry)

    def report_once(self, name: str, detail: str) -> None:
        """A fault that does not last."""
        self.publish(self.record_factory.make_record("fault", name, time.time(), begun=False, detail=detail))
