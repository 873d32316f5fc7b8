"""What a run knows about itself, for those who look from outside: the page, the metrics, the broker."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from typing import Any

from pocketsight.device.results import FrameResult, LogEntry, face_entry

MAX_ENTRIES = 500  # entries that the page can ask for
HISTORY_MINUTES = 60  # of sentiment that the page draws
RECENT_FRAMES = 100  # frames that fps and stage times speak of


class RunStatus:
    """Written by the loop, read by any thread. Cheap to write: nothing is worked out before somebody asks."""

    def __init__(self, run_id: str, labels: tuple[str, ...]) -> None:
        self.run_id, self.labels = run_id, labels  # the name of this run; what a face may be called, "unsure" left out
        self.started, self.frames, self.dropped = time.monotonic(), 0, 0
        self.stale_after = 10.0  # seconds after which a frame says nothing about now
        self.latest: FrameResult | None = None
        self.counters: defaultdict[str, float] = defaultdict(float)  # totals since the start: "face appeared", ...
        self.info: dict[str, Any] = {}  # what others report: temperature, throttled, camera, sinks, ...
        self._timings: deque[tuple[float, float, dict[str, float]]] = deque(
            maxlen=RECENT_FRAMES
        )  # when looked at, age, stages
        self._entries: deque[tuple[int, LogEntry]] = deque(maxlen=MAX_ENTRIES)
        self._minutes: deque[tuple[int, defaultdict[str, float]]] = deque(
            maxlen=HISTORY_MINUTES
        )  # face-seconds by label
        self._last_frame_time, self._entry_count = 0.0, 0
        self._lock = threading.Lock()

    def add_frame(self, record: FrameResult, latency: float) -> None:
        """A frame was worked on; `age` in seconds."""
        with self._lock:
            self.frames += 1
            self.latest = record
            self._timings.append((record.processed_monotonic, latency, record.stages_ms))
            elapsed = min(record.captured_monotonic - self._last_frame_time, 1.0) if self._last_frame_time else 0.0
            self._last_frame_time = record.captured_monotonic
            minute = int(record.captured_at // 60)
            if not self._minutes or self._minutes[-1][0] != minute:
                self._minutes.append((minute, defaultdict(float)))
            for seen in record.faces:
                label = seen.classification.label
                self._minutes[-1][1][label] += elapsed
                self.counters[f"seconds {label}"] += elapsed

    def add_event(self, entry: LogEntry) -> None:
        """An event or a fault happened."""
        with self._lock:
            self._entry_count += 1
            self._entries.append((self._entry_count, entry))
            if not (entry["kind"] == "fault" and "seconds" in entry):  # the end of a fault that was counted
                self.counters[f"{entry['kind']} {entry['what']}"] += 1

    def events(self, since: int = 0) -> tuple[int, list[LogEntry]]:
        """The number of the newest entry, and those after number `since`, oldest first."""
        with self._lock:
            return self._entry_count, [entry for number, entry in self._entries if number > since]

    def snapshot(self) -> dict[str, Any]:
        """Everything at once, ready for JSON: what `/api/state` shows."""
        with self._lock:
            recent, record = list(self._timings), self.latest
            minutes = [(minute, dict(counts)) for minute, counts in self._minutes]
            counters = {name: int(n) if n == int(n) else round(n, 1) for name, n in self.counters.items()}
            facts = dict(self.info)
        return {
            "run": self.run_id,
            "uptime": round(time.monotonic() - self.started, 1),
            "labels": list(self.labels),
            "frames": self.frames,
            "dropped": self.dropped,
            "fps": _frame_rate([seen for seen, _, _ in recent]),
            "age": _median([1000 * age for _, age, _ in recent]),
            "ms": _median_stages([ms for _, _, ms in recent]),
            "faces": [] if record is None else [face_entry(seen) for seen in record.faces],
            "patience": self.stale_after,
            "last_frame": None if record is None else round(time.monotonic() - record.processed_monotonic, 3),
            "minutes": [{"minute": 60 * minute, "seconds": _rounded(counts)} for minute, counts in minutes],
            "counters": counters,
            **facts,
        }


def _frame_rate(times: list[float]) -> float:
    """Frames a second, 0 where there are too few to tell; it falls when the last is long ago."""
    if len(times) < 2:
        return 0.0
    span = max(times[-1], time.monotonic() - 1.0) - times[0]
    return round((len(times) - 1) / span, 2) if span > 0 else 0.0


def _median_stages(rows: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _median([row[name] for row in rows if name in row]) for name in names}


def _median(numbers: list[float]) -> float:
    return round(sorted(numbers)[len(numbers) // 2], 3) if numbers else 0.0


def _rounded(counts: dict[str, Any]) -> dict[str, float]:
    return {label: round(seconds, 1) for label, seconds in counts.items()}
