"""Watches the sensors of the board: values for the status, faults when they leave their range."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pocketsight.device.faults import FaultReporter
from pocketsight.device.system.clock import clock_synced
from pocketsight.device.system.sensors import DISK_LOW_BYTES, HOT_CELSIUS, SensorReading, Sensors

# The fault "hot" ends below this temperature.
COOLED_CELSIUS = 75.0
# The fault "disk low" ends when this much is free.
DISK_RECOVERED_BYTES = 120 * 2**20
# Throttling and under-voltage come in bursts: their faults end after this many seconds without them.
CLEAR_AFTER = 60.0


class BoardMonitor:
    """Call `poll` every 10 seconds. It updates `info` and reports each fault when it begins and when it ends."""

    def __init__(
        self,
        report_fault: FaultReporter,
        info: dict[str, Any],
        read_sensors: Callable[[], SensorReading] | None = None,
        clock_synced: Callable[[], bool | None] = clock_synced,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.report_fault, self.info, self.clock_synced, self.now = report_fault, info, clock_synced, now
        self.read_sensors = read_sensors or Sensors(Path()).read
        self.active_faults: dict[str, float] = {}  # by name: when the fault was seen last

    def poll(self) -> None:
        """Read the sensors, update `info`, report changes. Takes a few milliseconds."""
        now, reading = self.now(), self.read_sensors()
        self.info |= {
            "temperature": None if reading.temperature is None else round(reading.temperature, 1),
            "throttled": reading.throttled,
            "under_voltage": reading.under_voltage,
            "disk_free": reading.disk_free,
            "clock_synced": self.clock_synced(),
        }
        self._check_temperature(reading, now)
        self._check_power(reading, now)
        self._check_disk(reading, now)

    def _check_temperature(self, reading: SensorReading, now: float) -> None:
        temperature = reading.temperature
        if temperature is not None:
            detail = f"the processor is at {temperature:.0f} °C; add a fan or use --max-temperature 75"
            self._update_fault("hot", temperature >= HOT_CELSIUS, temperature < COOLED_CELSIUS, detail, now)

    def _check_power(self, reading: SensorReading, now: float) -> None:
        slow = "the board slows itself down because it is too hot or its power supply is too weak"
        weak = "the supply voltage is too low; use the power supply made for this board and a short cable"
        for name, present, detail in (
            ("throttled", reading.throttled, slow),
            ("under-voltage", reading.under_voltage, weak),
        ):
            if present is not None:
                is_over = now - self.active_faults.get(name, now) >= CLEAR_AFTER
                self._update_fault(name, present, is_over, detail, now)

    def _check_disk(self, reading: SensorReading, now: float) -> None:
        free = reading.disk_free
        if free is not None:
            detail = f"{free // 2**20} MB are free on the disk of the log"
            self._update_fault("disk low", free < DISK_LOW_BYTES, free >= DISK_RECOVERED_BYTES, detail, now)

    def _update_fault(self, name: str, present: bool, is_over: bool, detail: str, now: float) -> None:
        """Begin a fault when it is present; end it when it is not and `is_over` holds."""
        was_active = name in self.active_faults
        if present:
            self.active_faults[name] = now
            if not was_active:
                self.report_fault(name, True, detail)
        elif was_active and is_over:
            del self.active_faults[name]
            self.report_fault(name, False, detail)
