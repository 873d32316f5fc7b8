"""The newest JPEG for all viewers. Everything here runs in the thread of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

MAX_VIEWERS = 16
# Seconds without a new image after which the last one is sent again, which reveals viewers that hung up.
RESEND_INTERVAL = 5.0
BOUNDARY = "pocketsight-frame"
STREAM_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"


class MjpegBroadcaster:
    """Passes each published JPEG to all viewers. Calls `on_watched` when the first one comes or the last one leaves."""

    def __init__(self, on_watched: Callable[[bool], None]) -> None:
        self.on_watched = on_watched
        self.viewers, self.frame_number = 0, 0
        self.jpeg = b""
        self.new_frame = asyncio.Event()  # replaced by a new one for each frame

    def publish(self, jpeg: bytes) -> None:
        """Replace the current image."""
        self.jpeg, self.frame_number = jpeg, self.frame_number + 1
        event, self.new_frame = self.new_frame, asyncio.Event()
        event.set()

    @property
    def is_full(self) -> bool:
        """Whether the number of viewers is at its limit."""
        return self.viewers >= MAX_VIEWERS

    @contextmanager
    def viewer(self) -> Iterator[None]:
        """Count a viewer while the block runs."""
        self.viewers += 1
        if self.viewers == 1:
            self.on_watched(True)
        try:
            yield
        finally:
            self.viewers -= 1
            if self.viewers == 0:
                self.on_watched(False)
                self.jpeg = b""  # outdated when the next viewer comes

    async def wait_for_frame(self, last_number: int, timeout: float) -> bytes:
        """The first image after number `last_number`; after `timeout` seconds the current one, which may be empty."""
        if self.frame_number == last_number or not self.jpeg:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.new_frame.wait(), timeout)
        return self.jpeg

    async def snapshot(self, timeout: float) -> bytes:
        """An image published from now on; empty when `timeout` seconds pass without one."""
        with self.viewer():
            before = self.frame_number
            jpeg = await self.wait_for_frame(before, timeout)
            return jpeg if self.frame_number > before else b""

    async def stream(self) -> AsyncIterator[bytes]:
        """Parts of a multipart response. Each ends with the boundary of the next one: browsers show it only then."""
        yield f"--{BOUNDARY}\r\n".encode()
        last_number = -1
        while True:
            jpeg = await self.wait_for_frame(last_number, RESEND_INTERVAL)
            last_number = self.frame_number
            if jpeg:
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                yield b"".join((head.encode(), jpeg, f"\r\n--{BOUNDARY}\r\n".encode()))
