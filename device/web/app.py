"""The routes of the web server and their handlers."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pocketsight.device.results import StatusView
from pocketsight.device.web.healthcheck import check_health
from pocketsight.device.web.metrics import MetricsCollector
from pocketsight.device.web.middleware import AuthMiddleware, is_authenticated
from pocketsight.device.web.mjpeg import STREAM_TYPE, MjpegBroadcaster

# Seconds that a snapshot waits for a frame.
SNAPSHOT_TIMEOUT = 5.0
# Larger than the number of any entry.
NEWEST_ONLY = 1 << 62
# The only files that are served. They are read once, at the start.
STATIC_FILES = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/app.js": ("app.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def make_app(
    status: StatusView,
    broadcaster: MjpegBroadcaster,
    token: str | None,
    host: str,
    port: int,
    frame_origins: Sequence[str] = (),
) -> AuthMiddleware:
    """The application: all routes behind the middleware that checks the token."""
    handlers = Handlers(status, broadcaster)
    routes = {
        "/stream.mjpg": handlers.stream,
        "/snapshot.jpg": handlers.snapshot,
        "/api/status": handlers.get_status,
        "/api/events": handlers.events,
        "/healthz": handlers.healthz,
        "/metrics": handlers.metrics,
        **dict.fromkeys(STATIC_FILES, handlers.static_file),
    }
    app = Starlette(routes=[Route(path, handler) for path, handler in routes.items()])
    app.router.redirect_slashes = False  # a redirect would repeat the Host header of the request
    return AuthMiddleware(app, token, host, port, frame_origins)


class Handlers:
    """One method for each route."""

    def __init__(self, status: StatusView, broadcaster: MjpegBroadcaster) -> None:
        self.status, self.broadcaster = status, broadcaster
        self.metrics_collector = MetricsCollector(status, broadcaster)
        folder = files("pocketsight.device.web") / "static"
        self.static_files = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in STATIC_FILES.items()}

    async def static_file(self, request: Request) -> Response:
        """The page and its style sheet, script and icon."""
        data, kind = self.static_files[request.scope["path"]]
        return Response(data, media_type=kind)

    async def stream(self, request: Request) -> Response:
        """The live image as MJPEG."""
        if self.broadcaster.is_full:
            return _unavailable("too many viewers")
        return Response(media_type=STREAM_TYPE) if request.method == "HEAD" else MjpegResponse(self.broadcaster)

    async def snapshot(self, request: Request) -> Response:
        """One JPEG of a frame that arrives from now on."""
        if self.broadcaster.is_full:
            return _unavailable("too many viewers")
        jpeg = await self.broadcaster.snapshot(SNAPSHOT_TIMEOUT)
        return Response(jpeg, media_type="image/jpeg") if jpeg else _unavailable("no frame arrived")

    async def get_status(self, request: Request) -> Response:
        """The whole status as JSON."""
        snapshot = self.status.snapshot()
        newest, _ = self.status.events(NEWEST_ONLY)
        return _json_response(
            {
                **snapshot,
                "now": time.time(),
                "newest": newest,
                "health": check_health(snapshot),
                "viewers": self.broadcaster.viewers,
            }
        )

    async def events(self, request: Request) -> Response:
        """The events after event number `since` as JSON."""
        since = request.query_params.get("since", "0")
        if not (since.isascii() and since.isdecimal() and len(since) < 16):
            return PlainTextResponse("since must be a number: `newest` of the previous response\n", 400)
        newest, entries = self.status.events(int(since))
        return _json_response({"run": self.status.run_id, "newest": newest, "events": entries})

    async def healthz(self, request: Request) -> Response:
        """200 "ok", or 503 "not ok"; only authenticated clients get the reason."""
        health = check_health(self.status.snapshot())
        if health["ok"]:
            return PlainTextResponse("ok\n")
        return PlainTextResponse(f"not ok: {health['reason']}\n" if is_authenticated(request) else "not ok\n", 503)

    async def metrics(self, request: Request) -> Response:
        """The metrics for Prometheus."""
        return Response(self.metrics_collector.render(), headers={"Content-Type": self.metrics_collector.content_type})


class MjpegResponse(StreamingResponse):
    """An endless response. Its viewer is counted until it ends, for whatever reason."""

    def __init__(self, broadcaster: MjpegBroadcaster) -> None:
        super().__init__(broadcaster.stream(), media_type=STREAM_TYPE)
        self.broadcaster = broadcaster

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.broadcaster.viewer():
            await super().__call__(scope, receive, send)


def _unavailable(reason: str) -> Response:
    return PlainTextResponse(f"{reason}; try again\n", 503, {"Retry-After": "5"})


def _json_response(content: object) -> Response:
    return Response(json.dumps(content, separators=(",", ":"), default=str), media_type="application/json")
