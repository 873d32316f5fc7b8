"""What is answered at which address."""

from __future__ import annotations

import json
import time
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.web.healthcheck import check_health
from pocketsight.device.web.metrics import MetricsCollector
from pocketsight.device.web.middleware import AuthMiddleware, is_authenticated
from pocketsight.device.web.mjpeg import STREAM_TYPE, MjpegBroadcaster

SNAPSHOT_TIMEOUT = 5.0  # seconds to wait for a picture
NEWEST_ONLY = 1 << 62  # more than any entry's number
STATIC_FILES = {  # the only files that are served, read once at the start
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/app.js": ("app.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def make_app(
    status: RunStatus, broadcaster: MjpegBroadcaster, token: str | None, host: str, port: int
) -> AuthMiddleware:
    """The page, the picture and the numbers, behind the guard."""
    handlers = Handlers(status, broadcaster)
    routes = {
        "/stream.mjpg": handlers.stream,
        "/snapshot.jpg": handlers.snapshot,
        "/api/state": handlers.get_status,
        "/api/events": handlers.events,
        "/healthz": handlers.healthz,
        "/metrics": handlers.metrics,
        **dict.fromkeys(STATIC_FILES, handlers.static_file),
    }
    app = Starlette(routes=[Route(path, answer) for path, answer in routes.items()])
    app.router.redirect_slashes = False  # a redirect would repeat whatever name the request called us by
    return AuthMiddleware(app, token, host, port)


class Handlers:
    """One method an address."""

    def __init__(self, status: RunStatus, broadcaster: MjpegBroadcaster) -> None:
        self.status, self.broadcaster = status, broadcaster
        self.metrics_collector = MetricsCollector(status, broadcaster)
        folder = files("pocketsight.device.web") / "static"
        self.static_files = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in STATIC_FILES.items()}

    async def static_file(self, request: Request) -> Response:
        """The page and what belongs to it."""
        data, kind = self.static_files[request.scope["path"]]
        return Response(data, media_type=kind)

    async def stream(self, request: Request) -> Response:
        """The picture, moving."""
        if self.broadcaster.is_full:
            return _unavailable("there are too many viewers")
        return Response(media_type=STREAM_TYPE) if request.method == "HEAD" else MjpegResponse(self.broadcaster)

    async def snapshot(self, request: Request) -> Response:
        """The picture, once."""
        if self.broadcaster.is_full:
            return _unavailable("there are too many viewers")
        jpeg = await self.broadcaster.snapshot(SNAPSHOT_TIMEOUT)
        return Response(jpeg, media_type="image/jpeg") if jpeg else _unavailable("no frame came")

    async def get_status(self, request: Request) -> Response:
        """All numbers."""
        found = self.status.snapshot()
        newest, _ = self.status.events(NEWEST_ONLY)
        return _json_response(
            {
                **found,
                "now": time.time(),
                "newest": newest,
                "health": check_health(found),
                "viewers": self.broadcaster.viewers,
            }
        )

    async def events(self, request: Request) -> Response:
        """What happened after event number `since`."""
        since = request.query_params.get("since", "0")
        if not (since.isascii() and since.isdecimal() and len(since) < 16):
            return PlainTextResponse("since must be a number: `newest` of the answer before\n", 400)
        newest, found = self.status.events(int(since))
        return _json_response({"run": self.status.run_id, "newest": newest, "events": found})

    async def healthz(self, request: Request) -> Response:
        """ok, or why not; strangers learn no more than whether."""
        found = check_health(self.status.snapshot())
        if found["ok"]:
            return PlainTextResponse("ok\n")
        return PlainTextResponse(f"not ok: {found['why']}\n" if is_authenticated(request) else "not ok\n", 503)

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        return Response(self.metrics_collector.render(), headers={"Content-Type": self.metrics_collector.content_type})


class MjpegResponse(StreamingResponse):
    """The feed as an answer that never ends; its viewer is counted until then, however it ends."""

    def __init__(self, broadcaster: MjpegBroadcaster) -> None:
        super().__init__(broadcaster.stream(), media_type=STREAM_TYPE)
        self.broadcaster = broadcaster

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.broadcaster.viewer():
            await super().__call__(scope, receive, send)


def _unavailable(why: str) -> Response:
    return PlainTextResponse(f"{why}; try again\n", 503, {"Retry-After": "5"})


def _json_response(content: object) -> Response:
    return Response(json.dumps(content, separators=(",", ":"), default=str), media_type="application/json")
