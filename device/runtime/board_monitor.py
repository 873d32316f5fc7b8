"""TODO docstring."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pocketsight.device.faults import FaultReporter
from pocketsight.device.system.clock import clock_synced

if TYPE_CHECKING:  # the doctor reads the board where numpy may be missing
    from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.system.sensors import (
    DISK_LOW_BYTES,
    HOT_CELSIUS,
    SensorReading,
    Sensors,
)

COOLED_CELSIUS = 75.0  # the fault "hot" is over below this
DISK_RECOVERED_BYTES = 120 * 2**20  # bytes free: the fault "disk low" is over from here
CLEAR_AFTER = 60.0  # seconds without a sign before throttling or under-voltage counts as over: both come in bursts


class BoardMonitor:
    """Looks at the board now and then: facts for the page, and a fault told when it begins and when it is over."""

    def __init__(
        self,
        report_fault: FaultReporter,
        status: RunStatus,
        read_sensors: Callable[[], SensorReading] | None = None,
        clock_synced: Callable[[], bool | None] = clock_synced,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.report_fault, self.status, self.clock_synced, self.now = report_fault, status, clock_synced, now
        self.read_sensors = read_sensors or Sensors(Path()).read
        self.active_faults: dict[str, float] = {}  # those that have begun, and when each was last seen

    def poll(self) -> None:
        """Read, put facts into the state, tell what began or is over. Takes a few milliseconds; call it every 10 s."""
        now, board = self.now(), self.read_sensors()
        self.status.info |= {
            "temperature": None if board.temperature is None else round(board.temperature, 1),
            "throttled": board.throttled,
            "under_voltage": board.under_voltage,
            "disk_free": board.disk_free,
            "synced": self.clock_synced(),
        }
        self._check_temperature(board, now)
        self._check_power(board, now)
        self._check_disk(board, now)

    def _check_temperature(self, board: SensorReading, now: float) -> None:
        heat = board.temperature
        if heat is not None:
            over = heat < COOLED_CELSIUS
            self._update_fault(
                "hot",
                heat >= HOT_CELSIUS,
                over,
                f"the processor is at {heat:.0f} °C; --max-temperature 75, or a fan",
                now,
            )

    def _check_power(self, board: SensorReading, now: float) -> None:
        slowed = "the board slows itself down, because it is too hot or has too little power"
        weak = "the supply gives too little voltage; use the one made for this board, and a short cable"
        for name, seen, detail in (
            ("throttled", board.throttled, slowed),
            ("under-voltage", board.under_voltage, weak),
        ):
            if seen is not None:
                self._update_fault(name, seen, now - self.active_faults.get(name, now) >= CLEAR_AFTER, detail, now)

    def _check_disk(self, board: SensorReading, now: float) -> None:
        free = board.disk_free
        if free is not None:
            self._update_fault(
                "disk low",
                free < DISK_LOW_BYTES,
                free >= DISK_RECOVERED_BYTES,
                f"{free // 2**20} MB are left where the log is",
                now,
            )

    def _update_fault(self, name: str, present: bool, cleared: bool, detail: str, now: float) -> None:
        """A fault begins when it is seen, and ends when `over` says so and it is not seen any more."""
        was_active = name in self.active_faults
        if present:
            self.active_faults[name] = now
            if not was_active:
                self.report_fault(name, True, detail)
        elif was_active and cleared:
            del self.active_faults[name]
            self.report_fault(name, False, detail)
