"""A thread between the loop and a sink, so that a disk or a broker that stalls never stalls the camera."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from pocketsight.device.errors import LogError
from pocketsight.device.events import Tell
from pocketsight.device.record import Entry
from pocketsight.device.sinks.sink import DiskFull, Sink

ROOM = 5000  # entries that may wait: days of events, minutes of frames, some 20 MB
BATCH = 500  # entries that are written at a time
TICK = 1.0  # seconds after which a sink is called also without entries
PAUSES = 1.0, 30.0  # seconds between two tries of a sink that fails: at first, at most
DAY = 86_400.0


@dataclass(frozen=True)
class Fault:
    """What keeps a sink from being written."""

    what: str
    detail: str
    lost: int  # entries lost before it began


class Writer:
    """Owns a sink, and the only thread that calls it.

    A sink that fails is tried again until it works; what comes meanwhile waits, and when too much waits the oldest
    goes and is counted. `tell` hears when that begins and when it is over.
    """

    def __init__(self, sink: Sink, tell: Tell, room: int = ROOM) -> None:
        self.sink, self.tell, self.name = sink, tell, sink.name
        self.written = self.lost = 0  # entries
        self.fault: Fault | None = None
        self._room, self._batch = room, max(1, min(BATCH, room // 2))
        self._pause, self._started = PAUSES[0], time.monotonic()
        self._queue: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._held = 0  # entries taken from the queue and not yet written
        self._closing = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"log {self.name}", daemon=True)
        self._thread.start()

    def put(self, entry: Entry, wait: bool = False) -> None:
        """Hand over an entry. Never blocks, unless it is to `wait` until there is room. Raises what `check` raises."""
        while wait and not self.has_room(TICK):
            pass
        self.check()
        if self.ended:
            return
        with self._changed:
            crowded = len(self._queue) >= self._room
            if crowded:
                self._queue.popleft()
                self.lost += 1
            self._queue.append(entry)
            if len(self._queue) in (1, self._batch):  # between them the thread gathers
                self._changed.notify_all()
        if crowded:
            self._begin("log lost", f"{self.name} takes too long; of what waits the oldest goes")

    def has_room(self, seconds: float = 0.0) -> bool:
        """Whether what one frame brings can wait without loss; gives it so many seconds to become true.

        Raises what `check` raises, and LogError where there is no room because the sink fails.
        """
        with self._changed:
            free = self._changed.wait_for(lambda: len(self._queue) <= self._room // 2 or self._failure, seconds)
        self.check()
        if not free and self.fault:
            raise LogError(self.fault.detail)
        return bool(free)

    def check(self) -> None:
        """Raise what went wrong in the thread without being foreseen."""
        if self._failure and not self.ended:
            raise self._failure

    @property
    def ended(self) -> bool:
        """Whether nobody reads on: the other end of a pipe was closed."""
        return isinstance(self._failure, BrokenPipeError)

    @property
    def waiting(self) -> int:
        """Entries not yet written."""
        return len(self._queue) + self._held

    def bytes_a_day(self) -> int:
        """What is written in a day if it goes on as since the start; the first hour counts as a whole one."""
        return round(self.sink.bytes * DAY / max(3600.0, time.monotonic() - self._started))

    def stop(self) -> None:
        """Let the thread write what waits, without another pause, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self, deadline: float = 1.5) -> bool:
        """Stop, and wait as many seconds; whether everything went out. Raises what `check` raises."""
        self.stop()
        self._thread.join(deadline)
        self.check()
        return self.ended or not (self._thread.is_alive() or self._queue or self.fault)

    def _run(self) -> None:
        try:
            while self._step():
                pass
            self._close()
        except Exception as error:
            self._failure = error
            with suppress(Exception):
                self.sink.close()
        with self._changed:
            self._changed.notify_all()

    def _step(self) -> bool:
        """Write what was gathered; False when it is time to end."""
        batch = self._gather()
        if not batch and self._closing:
            return False
        try:
            self.sink.write(batch)
        except LogError as error:
            self._keep(batch)
            self._begin("disk full" if isinstance(error, DiskFull) else "log lost", str(error))
            return self._rest()
        self.written += len(batch)
        self._held = 0
        self._over()
        return True

    def _gather(self) -> list[Entry]:
        """The next entries, in order; none if none came for a while."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing, timeout=TICK)
            if self._queue:
                self._changed.wait_for(
                    lambda: len(self._queue) >= self._batch or self._closing, timeout=self.sink.interval
                )
            batch = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
            self._held = len(batch)
            self._changed.notify_all()  # there is room
            return batch

    def _keep(self, batch: list[Entry]) -> None:
        """Put back what could not be written."""
        with self._changed:
            self._held = 0
            self._queue.extendleft(reversed(batch))
            while len(self._queue) > self._room:
                self._queue.popleft()
                self.lost += 1

    def _rest(self) -> bool:
        """Wait before the next try, longer each time; False when there shall be none."""
        with self._changed:
            if self._closing:
                return False
            self._changed.wait_for(lambda: self._closing, timeout=self._pause)
            self._pause = min(PAUSES[1], 2 * self._pause)
            return True

    def _begin(self, what: str, detail: str) -> None:
        with self._changed:
            if self.fault:
                return
            self.fault = Fault(what, detail, self.lost)
        self.tell(what, True, detail)

    def _over(self) -> None:
        self._pause = PAUSES[0]
        if self.fault and len(self._queue) <= self._room // 2:
            fault, self.fault = self.fault, None
            self.tell(fault.what, False, f"{self.name} is written again; {self.lost - fault.lost} entries were lost")

    def _close(self) -> None:
        try:
            try:
                self.sink.write(())  # the last occasion for what is overdue
            finally:
                self.sink.close()
        except LogError as error:
            self._begin("log lost", str(error))
