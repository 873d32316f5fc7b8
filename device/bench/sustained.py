"""A run of minutes: what heat does to it, window by window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pocketsight.device.bench.machine import clock
from pocketsight.device.health.board import Board, Gauges, text

WINDOWS = 120  # at most; a window is a second at least


class Looks:
    """Speed of each window, and how the board was at its end.

    A row has "s" since counting began, "frames_a_second", "p50" and "p99" of whole frames in ms, "temperature" in
    degrees Celsius, "mhz" of the fastest core, "throttled", "under_voltage", and "bits" as the firmware tells them;
    null is what the machine does not tell.
    """

    def __init__(self, seconds: float, gauges: Gauges | None = None, mhz: Callable[[], float | None] = clock) -> None:
        self.length = max(1.0, seconds / WINDOWS)
        self.gauges, self.mhz = gauges or Gauges(), mhz
        self.rows: list[dict[str, Any]] = []
        self.window: list[float] = []
        self.since = 0.0

    def frame(self, ms: float, now: float) -> None:
        """A frame took `ms`, and ended `now` seconds after counting began."""
        self.window.append(ms)
        if now - self.since < self.length:
            return
        p50, p99 = np.percentile(self.window, (50, 99))
        board: Board = self.gauges.read()
        speed = {"frames_a_second": round(len(self.window) / (now - self.since), 1), "p50": round(p50, 4)}
        self.rows.append({
            "s": round(now, 1), **speed, "p99": round(p99, 4), "temperature": board.temperature, "mhz": self.mhz(),
            "throttled": board.throttled, "under_voltage": board.under_voltage,
            "bits": text(self.gauges.firmware) or None if self.gauges.firmware else None,
        })  # fmt: skip
        self.window, self.since = [], now


def verdict(rows: list[dict[str, Any]]) -> str:
    """In words: whether it kept its speed from the first tenth to the last, and what the board said meanwhile."""
    if len(rows) < 2:
        return "too short to tell whether it keeps its speed"
    tenth = max(1, len(rows) // 10)
    begin, end = (float(np.median([row["p50"] for row in part])) for part in (rows[:tenth], rows[-tenth:]))
    lost = end / begin - 1
    words = f"it became {lost:.0%} slower from begin to end" if lost > 0.05 else "it kept its speed"
    slowed = sum(bool(row["throttled"]) for row in rows)
    weak = sum(bool(row["under_voltage"]) for row in rows)
    heat = [row["temperature"] for row in rows if row["temperature"] is not None]
    words += f"; {max(heat):.0f} °C at most" if heat else "; this machine does not tell its temperature"
    words += f"; the board slowed itself down in {slowed} of {len(rows)} looks" if slowed else ""
    return words + (f"; the supply was too weak in {weak} of {len(rows)} looks" if weak else "")
