"""The page and the numbers of a run over HTTP, in a thread of their own."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from pocketsight.device.background import step_back
from pocketsight.device.errors import ServeError
from pocketsight.device.image import Image
from pocketsight.device.record import Record
from pocketsight.device.state import State
from pocketsight.device.web.app import make_app
from pocketsight.device.web.auth import is_here, place, read_token
from pocketsight.device.web.feed import Feed
from pocketsight.device.web.guard import Guard
from pocketsight.device.web.picture import FPS, Encoder
from pocketsight.device.web.server import Connection, OnlyMistakes, Paced, sweep

HEADERS_LIMIT = 16 * 1024  # bytes of a request's head
BACKLOG = 32  # callers whom the system lets wait
QUEUE = 128 * 1024  # bytes that the system keeps for a slow viewer; more would be old pictures

CURES = {
    errno.EADDRINUSE: "another program has this port; choose another",
    errno.EACCES: "ports below 1024 are the system's; choose a higher one",
}


class Web:
    """A running server. `show` belongs to the loop."""

    def __init__(
        self, listener: socket.socket, host: str, token: str | None, state: State, blur: bool, fps: float
    ) -> None:  # fmt: skip
        name, self.port = f"[{host}]" if ":" in host else host, listener.getsockname()[1]
        self.url = f"http://{name}:{self.port}/"
        self.listener = listener
        self.encoder = Encoder(lambda: state.labels, self._publish, blur, fps)
        self.feed = Feed(self.encoder.watch)
        guard = make_app(state, self.feed, token, host, self.port)
        self.server = _server(guard)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.started = threading.Event()
        self.thread = threading.Thread(target=self._run, name="web", daemon=True)
        self.thread.start()
        self.started.wait(10)

    def show(self, image: Image, record: Record) -> None:
        """A frame was looked at: takes microseconds. Nobody may write into `image` after this."""
        self.encoder.show(image, record)

    def close(self) -> None:
        """Hang up on everybody."""
        self.encoder.close()
        if self.loop:
            with suppress(RuntimeError):  # it has ended by itself
                self.loop.call_soon_threadsafe(self._hang_up)
        self.thread.join(timeout=5)

    def _publish(self, jpeg: bytes) -> None:
        if self.loop:
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.feed.put, jpeg)

    def _hang_up(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()

    def _run(self) -> None:
        step_back()
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Paced())) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(_drop)
        sweeping = asyncio.create_task(sweep(self.server.server_state.connections))
        serving = asyncio.create_task(self.server.serve(sockets=[self.listener]))
        self.started.set()
        await serving
        sweeping.cancel()


@contextmanager
def serve(
    address: str, token_file: Path | None, state: State, blur: bool = False, fps: float = FPS
) -> Iterator[Web]:  # fmt: skip
    """Serve the page at `address`, as 127.0.0.1:8080, until the block is left.

    Beyond this machine only with a token, which stands in `token_file`, made if it is missing. Raises ServeError.
    """
    host, port = place(address)
    if token_file is None and not is_here(host):
        raise ServeError(
            f"--preview {address} can be reached by others: add --token-file FILE; a missing file is made, "
            "with a new token in it"
        )
    token, made = read_token(token_file) if token_file else (None, False)
    with _listen(host, port) as listener:
        web = Web(listener, host, token, state, blur, fps)
        where = f"; its token {'was made and ' if made else ''}stands in {token_file}" if token_file else ""
        there = web.url.replace("0.0.0.0", socket.gethostname()).replace("[::]", socket.gethostname())
        print(f"the page is at {there}{where}", file=sys.stderr, flush=True)
        try:
            yield web
        finally:
            web.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(where[:2], family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:  # also of a name that nobody knows
        cure = CURES.get(error.errno or 0, "is this an address of this machine?")
        raise ServeError(f"--preview {host}:{port} cannot be opened ({error.strerror}); {cure}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE)  # its connections take over
    return listener


def _server(app: Guard) -> uvicorn.Server:
    for name in ("uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        if not logger.filters:
            logger.addFilter(OnlyMistakes())
    return uvicorn.Server(
        uvicorn.Config(
            app, http=Connection, ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False,
            server_header=False, timeout_keep_alive=8, timeout_graceful_shutdown=1, backlog=BACKLOG,
            h11_max_incomplete_event_size=HEADERS_LIMIT,
        )
    )  # fmt: skip


def _drop(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What went wrong with one connection, mostly by what was sent there, is that connection's end."""
