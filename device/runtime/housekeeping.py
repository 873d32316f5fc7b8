"""Periodic work of a run: read the sensors, control the temperature, detect clock changes, update the status."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from pocketsight.device.camera import Camera
from pocketsight.device.inference.coral_fallback import EdgeTpuMonitor
from pocketsight.device.runtime.board_monitor import BoardMonitor
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.events import Faults
from pocketsight.device.runtime.frame_rate import FrameThrottle
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.runtime.status_file import StatusFile
from pocketsight.device.sinks.group import SinkGroup
from pocketsight.device.system.clock import ClockStepDetector
from pocketsight.device.system.sensors import Sensors
from pocketsight.device.system.thermal import MARGIN_CELSIUS, ThermalController

# Seconds between checks of the clock and the sinks, and between readings of the sensors.
TICK_INTERVAL, BOARD_POLL_INTERVAL = 1.0, 10.0


class Housekeeping:
    """The loop calls `tick` before each frame; most calls return at once."""

    def __init__(self, config: RunConfig, status: RunStatus, faults: Faults) -> None:
        self.status, self.faults = status, faults
        folders = [Path(target).parent for target in config.log if target != "-" and "://" not in target]
        self.board_monitor = BoardMonitor(faults.report, status.info, Sensors(next(iter(folders), Path())).read)
        self.status_file = StatusFile(status)
        self.clock_steps = ClockStepDetector()
        self.edgetpu_monitor = EdgeTpuMonitor(faults.report)
        self.thermal: ThermalController | None = None
        self.set_max_temperature(config.max_temperature)
        self.board_thread: threading.Thread | None = None
        self._next_tick = self._next_board_poll = 0.0

    def set_max_temperature(self, limit: float | None) -> None:
        """Keep the processor below `limit` degrees Celsius; None: do not control its temperature."""
        if self.thermal is None or limit is None or self.thermal.target + MARGIN_CELSIUS != limit:
            self.thermal = ThermalController(limit) if limit is not None else None

    def tick(self, throttle: FrameThrottle, camera: Camera, sinks: SinkGroup) -> None:
        """Do the work that is due. Raises an unexpected error of a sink."""
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + TICK_INTERVAL
        if (step := self.clock_steps.poll()) is not None:
            self.faults.report_once("clock set", f"by {step:+.1f} s; durations are not affected")
        self.edgetpu_monitor.tick(now)
        if now >= self._next_board_poll:
            self._next_board_poll = now + BOARD_POLL_INTERVAL
            self._poll_board()
        temperature = self.status.info.get("temperature")
        throttle.duty = self.thermal.update(temperature, now) if self.thermal else 1.0
        sinks.raise_failure()
        self._update_status(throttle, camera, sinks)
        self.status_file.update(now)

    def _update_status(self, throttle: FrameThrottle, camera: Camera, sinks: SinkGroup) -> None:
        info = self.status.info
        self.status.dropped = camera.dropped
        info |= {"idle": throttle.is_idle, "duty": round(throttle.duty, 2), **sinks.stats()}
        info["queued"] = info.get("mqtt", {}).get("queued")
        info["faults"] = {name: detail for name, (_, detail) in list(self.faults.active.items())}

    def _poll_board(self) -> None:
        """Read the sensors in a thread: the disk of the log may hang."""
        if self.board_thread is None or not self.board_thread.is_alive():
            self.board_thread = threading.Thread(target=self.board_monitor.poll, name="board", daemon=True)
            self.board_thread.start()
