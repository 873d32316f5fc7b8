"""What a run does now and then: look at the board, cool it, notice a clock that was set, say how it is."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from pocketsight.device.camera import Camera
from pocketsight.device.edgetpu import Keeper
from pocketsight.device.events import Faults
from pocketsight.device.health.board import Gauges, Watcher
from pocketsight.device.health.clock import Jumps
from pocketsight.device.health.cooling import BELOW, Cooling
from pocketsight.device.pace import Pace
from pocketsight.device.plan import Plan
from pocketsight.device.sinks.opened import Logs
from pocketsight.device.state import State

SECOND, BOARD = 1.0, 10.0  # seconds between looks at the clock and the sinks, and at the board


class Chores:
    """Cheap to call in every round of the loop."""

    def __init__(self, plan: Plan, state: State, faults: Faults) -> None:
        self.state, self.faults = state, faults
        files = [Path(target).parent for target in plan.log if target != "-" and "://" not in target]
        self.watcher = Watcher(faults.tell, state, Gauges(next(iter(files), Path())).read)
        self.jumps = Jumps()
        self.coral = Keeper(faults.tell)
        self.cooling: Cooling | None = None
        self.cool(plan.cool)
        self.looking: threading.Thread | None = None
        self._second = self._board = 0.0

    def cool(self, limit: float | None) -> None:
        """Keep the board below `limit` degrees Celsius from now on; None: let it be."""
        if self.cooling is None or limit is None or self.cooling.target + BELOW != limit:
            self.cooling = Cooling(limit) if limit is not None else None

    def due(self, pace: Pace, camera: Camera, logs: Logs) -> None:
        """Do what is due."""
        now = time.monotonic()
        if now < self._second:
            return
        self._second = now + SECOND
        if (jump := self.jumps.look()) is not None:
            self.faults.happened("clock set", f"by {jump:+.1f} s; durations do not depend on it")
        self.coral.due(now)
        if now >= self._board:
            self._board = now + BOARD
            self._look_at_the_board()
        temperature = self.state.facts.get("temperature")
        pace.factor = self.cooling.pace(temperature, now) if self.cooling else 1.0
        logs.check()
        self.state.dropped = camera.dropped
        self.state.facts |= {"resting": pace.resting, "slowed": round(pace.factor, 2), **logs.facts()}
        self.state.facts["waiting"] = self.state.facts.get("mqtt", {}).get("waiting")
        self.state.facts["faults"] = {name: detail for name, (_, detail) in list(self.faults.active.items())}

    def _look_at_the_board(self) -> None:
        """In a thread: the disk of a log may be one that hangs."""
        if self.looking is None or not self.looking.is_alive():
            self.looking = threading.Thread(target=self.watcher.look, name="board", daemon=True)
            self.looking.start()
