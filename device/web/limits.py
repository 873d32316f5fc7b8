"""Limits for uvicorn, so that no client can slow down the run: connections, waiting time, CPU time.

The classes extend internals of uvicorn; pyproject.toml bounds its version."""

from __future__ import annotations

import asyncio
import logging
import selectors
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# The camera and the log must not run out of file descriptors.
MAX_CONNECTIONS = 64
MAX_CONNECTIONS_PER_ADDRESS = 32
# Seconds for a client to send a request, and to read a response.
CLIENT_TIMEOUT = 10.0
# Share of one core for all requests together, and seconds of CPU time that can be saved up.
CPU_SHARE, CPU_BURST = 0.1, 0.3
# Tracebacks that are logged: an error that repeats must not fill the disk.
MAX_TRACEBACKS = 20


class CpuLimitedSelector(selectors.DefaultSelector):
    """Sleeps when its thread used more than its share of a core: too many requests slow down only the server.

    All threads of Python share one lock, so the time that this thread does not use is free for the loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cpu_budget = CPU_BURST
        self.last_time, self.last_cpu_time = time.monotonic(), time.thread_time()

    def select(self, timeout: float | None = None) -> Any:
        """Wait for events, after a sleep if the thread used too much CPU time."""
        now, used = time.monotonic(), time.thread_time()
        self.cpu_budget = min(CPU_BURST, self.cpu_budget + CPU_SHARE * (now - self.last_time)) - (
            used - self.last_cpu_time
        )
        self.last_time, self.last_cpu_time = now, used
        if self.cpu_budget < 0:
            time.sleep(min(0.5, -self.cpu_budget / CPU_SHARE))
        return super().select(timeout)


class LimitedConnection(H11Protocol):
    """A connection that is closed at once if there are too many, and later if its client is too slow."""

    waiting_since = 0.0
    """Time of the event loop since which a request is awaited."""
    write_blocked_since: float | None = None
    """Time of the event loop since which the client does not read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or abort it if there are too many."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # one image may wait for its reader, never two
        self.waiting_since = self.loop.time()
        same = sum(_peer_address(other) == _peer_address(self) for other in self.connections)
        if len(self.connections) > MAX_CONNECTIONS or same > MAX_CONNECTIONS_PER_ADDRESS:
            self.connections.discard(self)
            transport.abort()

    def on_response_complete(self) -> None:
        """Note when the wait for the next request begins."""
        self.waiting_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Note when the client stopped reading."""
        self.write_blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        self.write_blocked_since = None
        super().resume_writing()

    def is_overdue(self, now: float) -> bool:
        """Whether the client is silent or does not read for longer than CLIENT_TIMEOUT."""
        waiting = self.cycle is None or self.cycle.response_complete
        idle = waiting and now - self.waiting_since > CLIENT_TIMEOUT
        return idle or (self.write_blocked_since is not None and now - self.write_blocked_since > CLIENT_TIMEOUT)


def _peer_address(connection: Any) -> str:
    return connection.client[0] if connection.client else ""


async def close_overdue(connections: set[Any]) -> None:
    """Abort overdue connections once a second, forever."""
    while True:
        await asyncio.sleep(1)
        now = asyncio.get_running_loop().time()
        for connection in list(connections):
            if connection.is_overdue(now):
                connection.transport.abort()


class ErrorsOnlyFilter(logging.Filter):
    """Passes the first few tracebacks of errors in this program, and drops messages about malformed requests."""

    def __init__(self) -> None:
        super().__init__()
        self.remaining = MAX_TRACEBACKS

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        kind = record.exc_info[0] if record.exc_info else None
        if kind is None or not issubclass(kind, Exception) or self.remaining <= 0:
            return False
        self.remaining -= 1
        return True
