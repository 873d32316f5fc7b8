"""Log entries for changes: a face appears, changes its label or leaves; a fault begins or ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from secrets import token_hex

from pocketsight.device.results import LOG_SCHEMA_VERSION, LogEntry, iso_timestamp, round_box
from pocketsight.device.tracking.tracker import Track


def make_run_id() -> str:
    """A unique name of a run, for example 20261122T041500Z-a3f2c5d1.

    The random part is needed: boards without a battery for the clock often start at the same time.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(4)}"


class EntryFactory:
    """Makes log entries with the keys that all of them have, each with its own id. Safe to use from any thread."""

    def __init__(self, run_id: str, clock_synced: Callable[[], bool | None]) -> None:
        self.run_id, self.clock_synced, self.count = run_id, clock_synced, 0
        self.models: dict[str, str] = {}  # name and checksum by task, for the events
        self.lock = threading.Lock()

    def make_entry(self, kind: str, event: str, happened_at: float, **more: object) -> LogEntry:
        """An entry for something that happened at `happened_at`, in seconds since the epoch."""
        with self.lock:
            self.count += 1
            number = self.count
        return {
            "v": LOG_SCHEMA_VERSION,
            "kind": kind,
            "id": f"{self.run_id}-{number}",
            "time": iso_timestamp(happened_at),
            "clock_synced": self.clock_synced(),
            "event": event,
            **more,
        }


class EventDetector:
    """Compares the tracks of a frame with those of the frame before."""

    def __init__(self, entry_factory: EntryFactory) -> None:
        self.entry_factory = entry_factory
        self.last_labels: dict[int, str] = {}  # the label that was logged last, by track id
        self.recording_start: float | None = None  # monotonic seconds of the position 0, for videos

    def update(self, tracks: Iterable[Track], ended: Iterable[Track], captured_at: float) -> list[LogEntry]:
        """The entries of a frame captured at `captured_at` (seconds since the epoch): first the faces that left."""
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
                entries.append(self._face_event("changed", track, captured_at) | {"previous": previous})
            self.last_labels[track.id] = label
        return entries

    def _face_event(self, event: str, track: Track, captured_at: float) -> LogEntry:
        start = self.recording_start
        position = {} if start is None else {"position_s": round(track.last_seen_monotonic - start, 3)}
        return self.entry_factory.make_entry(
            "face",
            event,
            captured_at,
            track_id=track.id,
            object=track.label,
            label=track.classification.label,
            first_seen=iso_timestamp(track.first_seen_at),
            duration_s=round(track.last_seen_monotonic - track.first_seen_monotonic, 2),
            score=round(track.best_score, 3),
            box=round_box(track.box),
            **({"models": self.entry_factory.models} if self.entry_factory.models else {}),
            **position,
        )


class Faults:
    """Faults of a run: each is published once when it begins and once when it ends. Safe to use from any thread."""

    def __init__(self, entry_factory: EntryFactory, publish: Callable[[LogEntry], None]) -> None:
        self.entry_factory, self.publish = entry_factory, publish
        self.active: dict[str, tuple[float, str]] = {}  # by name: monotonic time of its begin, and its detail
        self.lock = threading.Lock()

    def report(self, name: str, active: bool, detail: str) -> None:
        """A fault begins (`active`) or ends. Repeated reports of the same state are ignored."""
        now = time.monotonic()
        with self.lock:
            since = self.active.pop(name, None)
            if active:
                self.active[name] = since or (now, detail)
            if active == (since is not None):
                return
        entry = self.entry_factory.make_entry("fault", name, time.time(), active=active, detail=detail)
        if since:
            entry["duration_s"] = round(now - since[0], 2)
        self.publish(entry)

    def report_once(self, name: str, detail: str) -> None:
        """Publish something that has no duration, for example that the clock was set."""
        self.publish(self.entry_factory.make_entry("fault", name, time.time(), active=False, detail=detail))
