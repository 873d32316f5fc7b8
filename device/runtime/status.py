"""Live status of a run, for the web page, the metrics and the MQTT state. Implements StatusView of results.py."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections import defaultdict, deque
from typing import Any

from pocketsight.device.results import DEFAULT_STALE_AFTER, FaceResult, FrameResult, LogEntry, face_entry
from pocketsight.device.system.install_hint import installed_version

# Entries that the page can ask for.
MAX_ENTRIES = 500
# Length of the chart of labels.
HISTORY_MINUTES = 60
# Frames over which the frame rate and the stage times are computed.
RECENT_FRAMES = 100
# Seconds without a frame after which no faces and no frame rate are reported.
FRAME_STALE_AFTER = 5.0


class RunStatus:
    """The loop writes, any thread reads. Writing is cheap: derived numbers are computed when somebody asks for them."""

    def __init__(self, run_id: str, labels: tuple[str, ...], object_label: str = "face") -> None:
        self.run_id, self.labels, self.object_label = run_id, labels, object_label
        self.started, self.frames, self.dropped = time.monotonic(), 0, 0
        self.stale_after = DEFAULT_STALE_AFTER
        self.latest: FrameResult | None = None
        # Totals since the start, for example "face appeared", "fault hot", "seconds happy".
        self.counters: defaultdict[str, float] = defaultdict(float)
        # Values of other parts of the run: temperature, throttled, sinks and others.
        self.info: dict[str, Any] = {"board": socket.gethostname(), "version": installed_version()}
        # Time of processing (monotonic), latency in seconds, milliseconds by stage.
        self._timings: deque[tuple[float, float, dict[str, float]]] = deque(maxlen=RECENT_FRAMES)
        self._entries: deque[tuple[int, LogEntry]] = deque(maxlen=MAX_ENTRIES)
        # Minute since the epoch, and seconds that faces were in view, by label.
        self._minutes: deque[tuple[int, defaultdict[str, float]]] = deque(maxlen=HISTORY_MINUTES)
        self._last_frame_time, self._entry_count = 0.0, 0
        self._lock = threading.Lock()

    def add_frame(self, result: FrameResult, latency: float) -> None:
        """Count a processed frame; `latency` is in seconds."""
        with self._lock:
            self.frames += 1
            if self._is_stale(self.latest):
                self._timings.clear()  # the frame rate must not contain the time without frames
            self.latest = result
            self._timings.append((result.processed_monotonic, latency, result.stages_ms))
            elapsed = min(result.captured_monotonic - self._last_frame_time, 1.0) if self._last_frame_time else 0.0
            self._last_frame_time = result.captured_monotonic
            minute = int(result.captured_at // 60)
            if not self._minutes or self._minutes[-1][0] != minute:
                self._minutes.append((minute, defaultdict(float)))
            for face in result.faces:
                self._minutes[-1][1][face.label] += elapsed
                self.counters[f"seconds {face.label}"] += elapsed

    def add_event(self, entry: LogEntry) -> None:
        """Keep the entry of an event or a fault, and count it. The end of a fault is not counted again."""
        with self._lock:
            self._entry_count += 1
            self._entries.append((self._entry_count, entry))
            if not (entry["kind"] == "fault" and "duration_s" in entry):
                self.counters[f"{entry['kind']} {entry['event']}"] += 1

    def events(self, since: int = 0) -> tuple[int, list[LogEntry]]:
        """The number of the newest entry, and the entries after number `since`, oldest first."""
        with self._lock:
            return self._entry_count, [entry for number, entry in self._entries if number > since]

    def _is_stale(self, result: FrameResult | None) -> bool:
        """Whether a result is too old to be called current. With a low frame rate it may be older."""
        max_age = max(FRAME_STALE_AFTER, self.stale_after / 2)
        return result is None or time.monotonic() - result.processed_monotonic >= max_age

    def faces_in_view(self) -> list[FaceResult]:
        """The faces of the newest frame; none when it is some seconds old, because the camera may be lost."""
        result = self.latest
        return [] if result is None or self._is_stale(result) else result.faces

    def snapshot(self) -> dict[str, Any]:
        """The whole status, ready for JSON: the body of `/api/status`."""
        with self._lock:
            result = self.latest
            recent = [] if self._is_stale(result) else list(self._timings)
            minutes = [(minute, dict(seconds)) for minute, seconds in self._minutes]
            counters = {name: int(n) if n == int(n) else round(n, 1) for name, n in self.counters.items()}
            info = dict(self.info)
        return {
            "run": self.run_id,
            "uptime_s": round(time.monotonic() - self.started, 1),
            "labels": list(self.labels),
            "frames": self.frames,
            "dropped": self.dropped,
            "fps": _frame_rate([processed for processed, _, _ in recent]),
            "latency_ms": _median([1000 * latency for _, latency, _ in recent]),
            "stages_ms": _median_stages([stages_ms for _, _, stages_ms in recent]),
            "faces": [face_entry(face) for face in self.faces_in_view()],
            "stale_after_s": self.stale_after,
            "last_frame_age_s": None if result is None else round(time.monotonic() - result.processed_monotonic, 3),
            "history": [{"minute": 60 * minute, "seconds": _rounded(seconds)} for minute, seconds in minutes],
            "counters": counters,
            **info,
        }


def _frame_rate(times: list[float]) -> float:
    """Frames a second, 0 for fewer than two frames. It falls when the last frame is more than a second old."""
    if len(times) < 2:
        return 0.0
    span = max(times[-1], time.monotonic() - 1.0) - times[0]
    return round((len(times) - 1) / span, 2) if span > 0 else 0.0


def _median_stages(rows: list[dict[str, float]]) -> dict[str, float]:
    stages = dict.fromkeys(stage for row in rows for stage in row)
    return {stage: _median([row[stage] for row in rows if stage in row]) for stage in stages}


def _median(numbers: list[float]) -> float:
    return round(statistics.median_high(numbers), 3) if numbers else 0.0


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {label: round(value, 1) for label, value in seconds.items()}
