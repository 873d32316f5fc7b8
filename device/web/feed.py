"""The newest picture, for any number of viewers. Everything here runs in the server's thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

VIEWERS = 16  # at once
AGAIN = 5.0  # seconds without a new picture after which the last is sent again, so that a viewer who left is noticed
BOUNDARY = "pocketsight-picture"
STREAM_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"


class Feed:
    """`watch` is told whether anybody looks; `put` is given each picture."""

    def __init__(self, watch: Callable[[bool], None]) -> None:
        self.watch = watch
        self.viewers, self.number = 0, 0
        self.jpeg = b""
        self.came = asyncio.Event()  # the next one did

    def put(self, jpeg: bytes) -> None:
        """A new picture; nobody gets the one before any more."""
        self.jpeg, self.number = jpeg, self.number + 1
        came, self.came = self.came, asyncio.Event()
        came.set()

    @property
    def full(self) -> bool:
        """Whether nobody else can be let in."""
        return self.viewers >= VIEWERS

    @contextmanager
    def viewer(self) -> Iterator[None]:
        """Somebody looks."""
        self.viewers += 1
        if self.viewers == 1:
            self.watch(True)
        try:
            yield
        finally:
            self.viewers -= 1
            if self.viewers == 0:
                self.watch(False)
                self.jpeg = b""  # it is old when the next one comes

    async def next(self, seen: int, seconds: float) -> bytes:
        """The newest picture as soon as there is one after number `seen`; after `seconds` the last, or nothing."""
        if self.number == seen or not self.jpeg:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.came.wait(), seconds)
        return self.jpeg

    async def one(self, seconds: float) -> bytes:
        """A picture that comes from now on, empty if none does in time."""
        with self.viewer():
            before = self.number
            jpeg = await self.next(before, seconds)
            return jpeg if self.number > before else b""

    async def parts(self) -> AsyncIterator[bytes]:
        """Parts of a multipart answer. Each ends with the next one's boundary: browsers show it only then."""
        yield f"--{BOUNDARY}\r\n".encode()
        seen = -1
        while True:
            jpeg = await self.next(seen, AGAIN)
            seen = self.number
            if jpeg:
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                yield b"".join((head.encode(), jpeg, f"\r\n--{BOUNDARY}\r\n".encode()))
