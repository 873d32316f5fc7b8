"""The newest picture, for any number of viewers. Everything here runs in the server's thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

MAX_VIEWERS = 16  # at once
RESEND_INTERVAL = (
    5.0  # seconds without a new picture after which the last is sent again, so that a viewer who left is noticed
)
BOUNDARY = "pocketsight-picture"
STREAM_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"


class MjpegBroadcaster:
    """`watch` is told whether anybody looks; `put` is given each picture."""

    def __init__(self, on_watched: Callable[[bool], None]) -> None:
        self.on_watched = on_watched
        self.viewers, self.frame_number = 0, 0
        self.jpeg = b""
        self.new_frame = asyncio.Event()  # the next one did

    def publish(self, jpeg: bytes) -> None:
        """A new picture; nobody gets the one before any more."""
        self.jpeg, self.frame_number = jpeg, self.frame_number + 1
        came, self.new_frame = self.new_frame, asyncio.Event()
        came.set()

    @property
    def is_full(self) -> bool:
        """Whether nobody else can be let in."""
        return self.viewers >= MAX_VIEWERS

    @contextmanager
    def viewer(self) -> Iterator[None]:
        """Somebody looks."""
        self.viewers += 1
        if self.viewers == 1:
            self.on_watched(True)
        try:
            yield
        finally:
            self.viewers -= 1
            if self.viewers == 0:
                self.on_watched(False)
                self.jpeg = b""  # it is old when the next one comes

    async def wait_for_frame(self, last_number: int, timeout: float) -> bytes:
        """The newest picture as soon as there is one after number `seen`; after `seconds` the last, or nothing."""
        if self.frame_number == last_number or not self.jpeg:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.new_frame.wait(), timeout)
        return self.jpeg

    async def snapshot(self, timeout: float) -> bytes:
        """A picture that comes from now on, empty if none does in time."""
        with self.viewer():
            before = self.frame_number
            jpeg = await self.wait_for_frame(before, timeout)
            return jpeg if self.frame_number > before else b""

    async def stream(self) -> AsyncIterator[bytes]:
        """Parts of a multipart answer. Each ends with the next one's boundary: browsers show it only then."""
        yield f"--{BOUNDARY}\r\n".encode()
        last_number = -1
        while True:
            jpeg = await self.wait_for_frame(last_number, RESEND_INTERVAL)
            last_number = self.frame_number
            if jpeg:
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                yield b"".join((head.encode(), jpeg, f"\r\n--{BOUNDARY}\r\n".encode()))
