"""uvicorn, made safe for a machine with something better to do: bounded in connections, in patience and in CPU."""

from __future__ import annotations

import asyncio
import logging
import selectors
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 64  # open at once, so that the camera and the log never run out of file descriptors
MAX_CONNECTIONS_PER_ADDRESS = 32  # of one address
CLIENT_TIMEOUT = 10.0  # seconds for a request to come whole, and for what was sent to be read
CPU_SHARE, CPU_BURST = 0.1, 0.3  # of one core for all requests together; seconds of it that may be saved up
MAX_TRACEBACKS = 20  # tracebacks of ours that are written out; a mistake of ours must not fill the disk


class CpuLimitedSelector(selectors.DefaultSelector):
    """Rests when its thread has used more of a core than its share: whoever hammers the server slows the server.

    All threads of Python take turns, so what this one does not use is the loop's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cpu_budget = CPU_BURST
        self.last_time, self.last_cpu_time = time.monotonic(), time.thread_time()

    def select(self, timeout: float | None = None) -> Any:
        """As of its class, later."""
        now, used = time.monotonic(), time.thread_time()
        self.cpu_budget = min(CPU_BURST, self.cpu_budget + CPU_SHARE * (now - self.last_time)) - (
            used - self.last_cpu_time
        )
        self.last_time, self.last_cpu_time = now, used
        if self.cpu_budget < 0:
            time.sleep(min(0.5, -self.cpu_budget / CPU_SHARE))
        return super().select(timeout)


class LimitedConnection(H11Protocol):
    """One too many is closed at once; one that is slow to ask or to read is closed in the end."""

    waiting_since = 0.0  # when the server began to wait for a request
    write_blocked_since: float | None = None  # since when what was sent is not read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody called."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # one picture may wait for its reader, never two
        self.waiting_since = self.loop.time()
        same = sum(_peer_address(other) == _peer_address(self) for other in self.connections)
        if len(self.connections) > MAX_CONNECTIONS or same > MAX_CONNECTIONS_PER_ADDRESS:
            self.connections.discard(self)
            transport.abort()

    def on_response_complete(self) -> None:
        """An answer was given; the next request may come."""
        self.waiting_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """What was sent is not read yet."""
        self.write_blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It is."""
        self.write_blocked_since = None
        super().resume_writing()

    def is_overdue(self, now: float) -> bool:
        """Whether patience is at its end."""
        waiting = self.cycle is None or self.cycle.response_complete
        idle = waiting and now - self.waiting_since > CLIENT_TIMEOUT
        return idle or (self.write_blocked_since is not None and now - self.write_blocked_since > CLIENT_TIMEOUT)


def _peer_address(connection: Any) -> str:
    return connection.client[0] if connection.client else ""


async def close_overdue(connections: set[Any]) -> None:
    """Close what is overdue, for ever."""
    while True:
        await asyncio.sleep(1)
        now = asyncio.get_running_loop().time()
        for connection in list(connections):
            if connection.overdue(now):
                connection.transport.abort()


class ErrorsOnlyFilter(logging.Filter):
    """Lets through tracebacks of our own mistakes, the first few; what strangers send is not worth a line."""

    def __init__(self) -> None:
        super().__init__()
        self.remaining = MAX_TRACEBACKS

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        kind = record.exc_info[0] if record.exc_info else None
        if kind is None or not issubclass(kind, Exception) or self.remaining <= 0:
            return False
        self.remaining -= 1
        return True
