"""The web server of a run, in its own thread."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from pocketsight.device.errors import ServeError
from pocketsight.device.results import FrameResult, StatusView
from pocketsight.device.system.priority import lower_thread_priority
from pocketsight.device.vision.pixels import Content
from pocketsight.device.web.app import make_app
from pocketsight.device.web.auth import check_origin, is_loopback, parse_bind_address, read_token
from pocketsight.device.web.encoder import MAX_FPS, PreviewEncoder
from pocketsight.device.web.limits import CpuLimitedSelector, ErrorsOnlyFilter, LimitedConnection, close_overdue
from pocketsight.device.web.middleware import AuthMiddleware
from pocketsight.device.web.mjpeg import MjpegBroadcaster

logger = logging.getLogger(__name__)

# Bytes of a request's header.
MAX_HEADER_BYTES = 16 * 1024
# Connections that wait to be accepted.
BACKLOG = 32
# Bytes that the system buffers for a slow viewer; more would be outdated images.
SEND_BUFFER_BYTES = 128 * 1024

FIXES = {
    errno.EADDRINUSE: "another program uses this port; choose another one",
    errno.EACCES: "ports below 1024 need root; choose a higher one",
}


class WebServer:
    """A running server. The loop calls `update`."""

    def __init__(
        self,
        listener: socket.socket,
        host: str,
        token: str | None,
        status: StatusView,
        blur: bool,
        fps: float,
        frame_origins: Sequence[str],
    ) -> None:
        name, self.port = f"[{host}]" if ":" in host else host, listener.getsockname()[1]
        self.url, self.is_local = f"http://{name}:{self.port}/", is_loopback(host)
        self.listener = listener
        self.encoder = PreviewEncoder(lambda: status.labels, self._publish, blur, fps)
        self.broadcaster = MjpegBroadcaster(self.encoder.set_watched)
        app = make_app(status, self.broadcaster, token, host, self.port, frame_origins)
        self.server = _make_server(app)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.started = threading.Event()
        self.thread = threading.Thread(target=self._run, name="web", daemon=True)
        self.thread.start()
        self.started.wait(10)

    def update(self, content: Content, result: FrameResult) -> None:
        """Hand over a processed frame; takes microseconds. Nobody may write into its image afterwards."""
        self.encoder.update(content, result)

    def close(self) -> None:
        """Close all connections and stop the threads."""
        self.encoder.close()
        if self.loop:
            with suppress(RuntimeError):  # the event loop has already ended
                self.loop.call_soon_threadsafe(self._abort_connections)
        self.thread.join(timeout=5)

    def _publish(self, jpeg: bytes) -> None:
        if self.loop:
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.broadcaster.publish, jpeg)

    def _abort_connections(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()

    def _run(self) -> None:
        lower_thread_priority()
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(CpuLimitedSelector())) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(_ignore_exception)
        cleanup = asyncio.create_task(close_overdue(self.server.server_state.connections))
        serving = asyncio.create_task(self.server.serve(sockets=[self.listener]))
        self.started.set()
        await serving
        cleanup.cancel()


@contextmanager
def serve(
    address: str,
    token_file: Path | None,
    status: StatusView,
    blur: bool = False,
    fps: float = MAX_FPS,
    frame_origins: Sequence[str] = (),
) -> Iterator[WebServer]:
    """Serve the page at `address`, for example 127.0.0.1:8080, until the block is left.

    Addresses that other machines can reach need a `token_file`, which is created if it is missing. Pages of
    `frame_origins` may show this one in a frame. Raises ServeError if there is no token file, if it cannot be used, or
    if the address cannot be opened.
    """
    host, port = parse_bind_address(address)
    for origin in frame_origins:
        check_origin(origin)
    if token_file is None and not is_loopback(host):
        raise ServeError(
            f"--preview {address} can be reached from other machines: add --token-file FILE; a missing file is "
            "created with a new token"
        )
    token, was_created = read_token(token_file) if token_file else (None, False)
    with _listen(host, port) as listener:
        web = WebServer(listener, host, token, status, blur, fps, frame_origins)
        url = web.url.replace("0.0.0.0", socket.gethostname()).replace("[::]", socket.gethostname())
        token_hint = f"; its {'new ' if was_created else ''}token is in {token_file}" if token_file else ""
        logger.info("the page is at %s%s", url, token_hint)
        try:
            yield web
        finally:
            web.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(sockaddr[:2], family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:  # also for an unknown host name
        fix = FIXES.get(error.errno or 0, "is this an address of this machine?")
        raise ServeError(f"--preview {host}:{port} cannot be opened ({error.strerror}); {fix}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # inherited by its connections
    return listener


def _make_server(app: AuthMiddleware) -> uvicorn.Server:
    for name in ("uvicorn.error", "uvicorn.access"):
        uvicorn_logger = logging.getLogger(name)
        if not uvicorn_logger.filters:
            uvicorn_logger.addFilter(ErrorsOnlyFilter())
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=LimitedConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=8,
            timeout_graceful_shutdown=1,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
    )


def _ignore_exception(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Ignore errors of a single connection, mostly caused by its client; the connection is closed."""
