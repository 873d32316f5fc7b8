"""A run of minutes: what heat does to it, window by window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pocketsight.device.bench.environment import max_cpu_mhz
from pocketsight.device.system.sensors import SensorReading, Sensors, read_kernel_file

MAX_WINDOWS = 120  # at most; a window is a second at least


class Telemetry:
    """Speed of each window, and how the board was at its end.

    A row has "s" since counting began, "frames_a_second", "p50" and "p99" of whole frames in ms, "temperature" in
    degrees Celsius, "mhz" of the fastest core, "throttled", "under_voltage", and "bits" as the firmware tells them;
    null is what the machine does not tell.
    """

    def __init__(
        self, seconds: float, sensors: Sensors | None = None, read_mhz: Callable[[], float | None] = max_cpu_mhz
    ) -> None:
        self.window_seconds = max(1.0, seconds / MAX_WINDOWS)
        self.sensors, self.read_mhz = sensors or Sensors(), read_mhz
        self.rows: list[dict[str, Any]] = []
        self.window_ms: list[float] = []
        self.window_start = 0.0

    def add_frame(self, ms: float, now: float) -> None:
        """A frame took `ms`, and ended `now` seconds after counting began."""
        self.window_ms.append(ms)
        if now - self.window_start < self.window_seconds:
            return
        p50, p99 = np.percentile(self.window_ms, (50, 99))
        board: SensorReading = self.sensors.read()
        speed = {"frames_a_second": round(len(self.window_ms) / (now - self.window_start), 1), "p50": round(p50, 4)}
        self.rows.append(
            {
                "s": round(now, 1),
                **speed,
                "p99": round(p99, 4),
                "temperature": board.temperature,
                "mhz": self.read_mhz(),
                "throttled": board.throttled,
                "under_voltage": board.under_voltage,
                "bits": read_kernel_file(self.sensors.throttled_path) or None if self.sensors.throttled_path else None,
            }
        )
        self.window_ms, self.window_start = [], now


def sustained_verdict(rows: list[dict[str, Any]]) -> str:
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
