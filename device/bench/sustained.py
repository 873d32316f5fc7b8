"""A run of minutes: speed, temperature and throttling over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pocketsight.device.bench.environment import max_cpu_mhz
from pocketsight.device.bench.reports import TelemetryRow
from pocketsight.device.system.sensors import Sensors, read_kernel_file

MAX_WINDOWS = 120
MIN_WINDOW_SECONDS = 1.0
MIN_SLOWDOWN = 0.05  # of the median from the first tenth to the last; less is noise


class Telemetry:
    """Speed and sensors of a run, one row per time window."""

    def __init__(
        self, seconds: float, sensors: Sensors | None = None, read_mhz: Callable[[], float | None] = max_cpu_mhz
    ) -> None:
        self.window_seconds = max(MIN_WINDOW_SECONDS, seconds / MAX_WINDOWS)
        self.sensors, self.read_mhz = sensors or Sensors(), read_mhz
        self.rows: list[TelemetryRow] = []
        self.window_ms: list[float] = []
        self.window_start = 0.0

    def add_frame(self, ms: float, now: float) -> None:
        """Add a frame that took `ms` and ended `now` seconds after the start."""
        self.window_ms.append(ms)
        if now - self.window_start < self.window_seconds:
            return
        p50, p99 = np.percentile(self.window_ms, (50, 99))
        reading, bits_path = self.sensors.read(), self.sensors.throttled_path
        self.rows.append(
            {
                "elapsed_s": round(now, 1),
                "fps": round(len(self.window_ms) / (now - self.window_start), 1),
                "p50": round(float(p50), 4),
                "p99": round(float(p99), 4),
                "temperature_c": reading.temperature,
                "cpu_mhz": self.read_mhz(),
                "throttled": reading.throttled,
                "under_voltage": reading.under_voltage,
                "throttled_bits": (read_kernel_file(bits_path) or None) if bits_path else None,
            }
        )
        self.window_ms, self.window_start = [], now


def sustained_verdict(rows: Sequence[TelemetryRow]) -> str:
    """A sentence about the speed from the first tenth to the last, and about the sensors."""
    if len(rows) < 2:
        return "the run was too short for a verdict on its speed over time"
    tenth = max(1, len(rows) // 10)
    first, last = (float(np.median([row["p50"] for row in part])) for part in (rows[:tenth], rows[-tenth:]))
    slowdown = last / first - 1
    is_slower = slowdown > MIN_SLOWDOWN
    text = f"it became {slowdown:.0%} slower from start to end" if is_slower else "its speed did not change"
    throttled = sum(bool(row["throttled"]) for row in rows)
    weak = sum(bool(row["under_voltage"]) for row in rows)
    temperatures = [row["temperature_c"] for row in rows if row["temperature_c"] is not None]
    text += f"; up to {max(temperatures):.0f} °C" if temperatures else "; this machine does not report its temperature"
    text += f"; throttled in {throttled} of {len(rows)} samples" if throttled else ""
    return text + (f"; under-voltage in {weak} of {len(rows)} samples" if weak else "")
