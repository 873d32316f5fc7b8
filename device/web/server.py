"""uvicorn, made safe for a machine with something better to do: bounded in connections, in patience and in CPU."""

from __future__ import annotations

import asyncio
import logging
import selectors
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 64  # open at once, so that the camera and the log never run out of file descriptors
EACH = 32  # of one address
PATIENCE = 10.0  # seconds for a request to come whole, and for what was sent to be read
SHARE, BURST = 0.1, 0.3  # of one core for all requests together; seconds of it that may be saved up
MISTAKES = 20  # tracebacks of ours that are written out; a mistake of ours must not fill the disk


class Paced(selectors.DefaultSelector):
    """Rests when its thread has used more of a core than its share: whoever hammers the server slows the server.

    All threads of Python take turns, so what this one does not use is the loop's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.saved = BURST
        self.now, self.used = time.monotonic(), time.thread_time()

    def select(self, timeout: float | None = None) -> Any:
        """As of its class, later."""
        now, used = time.monotonic(), time.thread_time()
        self.saved = min(BURST, self.saved + SHARE * (now - self.now)) - (used - self.used)
        self.now, self.used = now, used
        if self.saved < 0:
            time.sleep(min(0.5, -self.saved / SHARE))
        return super().select(timeout)


class Connection(H11Protocol):
    """One too many is closed at once; one that is slow to ask or to read is closed in the end."""

    since = 0.0  # when the server began to wait for a request
    stuck: float | None = None  # since when what was sent is not read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody called."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # one picture may wait for its reader, never two
        self.since = self.loop.time()
        same = sum(_caller(other) == _caller(self) for other in self.connections)
        if len(self.connections) > CONNECTIONS or same > EACH:
            self.connections.discard(self)
            transport.abort()

    def on_response_complete(self) -> None:
        """An answer was given; the next request may come."""
        self.since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """What was sent is not read yet."""
        self.stuck = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It is."""
        self.stuck = None
        super().resume_writing()

    def overdue(self, now: float) -> bool:
        """Whether patience is at its end."""
        waiting = self.cycle is None or self.cycle.response_complete
        idle = waiting and now - self.since > PATIENCE
        return idle or (self.stuck is not None and now - self.stuck > PATIENCE)


def _caller(connection: Any) -> str:
    return connection.client[0] if connection.client else ""


async def sweep(connections: set[Any]) -> None:
    """Close what is overdue, for ever."""
    while True:
        await asyncio.sleep(1)
        now = asyncio.get_running_loop().time()
        for connection in list(connections):
            if connection.overdue(now):
                connection.transport.abort()


class OnlyMistakes(logging.Filter):
    """Lets through tracebacks of our own mistakes, the first few; what strangers send is not worth a line."""

    def __init__(self) -> None:
        super().__init__()
        self.left = MISTAKES

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        kind = record.exc_info[0] if record.exc_info else None
        if kind is None or not issubclass(kind, Exception) or self.left <= 0:
            return False
        self.left -= 1
        return True
