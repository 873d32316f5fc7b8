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

from pocketsight.device.state import State
from pocketsight.device.web.feed import STREAM_TYPE, Feed
from pocketsight.device.web.guard import Guard, admitted
from pocketsight.device.web.health import health
from pocketsight.device.web.metrics import Metrics

PATIENCE = 5.0  # seconds to wait for a picture
NEWEST = 1 << 62  # more than any entry's number
FILES = {  # the only files that are served, read once at the start
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def make_app(state: State, feed: Feed, token: str | None, host: str, port: int) -> Guard:
    """The page, the picture and the numbers, behind the guard."""
    answers = Answers(state, feed)
    routes = {
        "/stream.mjpg": answers.stream, "/snapshot.jpg": answers.snapshot, "/api/state": answers.state_now,
        "/api/events": answers.events, "/healthz": answers.healthz, "/metrics": answers.metrics,
        **dict.fromkeys(FILES, answers.file),
    }  # fmt: skip
    app = Starlette(routes=[Route(path, answer) for path, answer in routes.items()])
    app.router.redirect_slashes = False  # a redirect would repeat whatever name the request called us by
    return Guard(app, token, host, port)


class Answers:
    """One method an address."""

    def __init__(self, state: State, feed: Feed) -> None:
        self.state, self.feed = state, feed
        self.numbers = Metrics(state, feed)
        folder = files("pocketsight.device.web")
        self.files = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}

    async def file(self, request: Request) -> Response:
        """The page and what belongs to it."""
        data, kind = self.files[request.scope["path"]]
        return Response(data, media_type=kind)

    async def stream(self, request: Request) -> Response:
        """The picture, moving."""
        if self.feed.full:
            return _busy("there are too many viewers")
        return Response(media_type=STREAM_TYPE) if request.method == "HEAD" else Stream(self.feed)

    async def snapshot(self, request: Request) -> Response:
        """The picture, once."""
        if self.feed.full:
            return _busy("there are too many viewers")
        jpeg = await self.feed.one(PATIENCE)
        return Response(jpeg, media_type="image/jpeg") if jpeg else _busy("no frame came")

    async def state_now(self, request: Request) -> Response:
        """All numbers."""
        found = self.state.snapshot()
        newest, _ = self.state.events(NEWEST)
        return _json(
            {**found, "now": time.time(), "newest": newest, "health": health(found), "viewers": self.feed.viewers}
        )

    async def events(self, request: Request) -> Response:
        """What happened after event number `since`."""
        since = request.query_params.get("since", "0")
        if not (since.isascii() and since.isdecimal() and len(since) < 16):
            return PlainTextResponse("since must be a number: `newest` of the answer before\n", 400)
        newest, found = self.state.events(int(since))
        return _json({"run": self.state.run, "newest": newest, "events": found})

    async def healthz(self, request: Request) -> Response:
        """ok, or why not; strangers learn no more than whether."""
        found = health(self.state.snapshot())
        if found["ok"]:
            return PlainTextResponse("ok\n")
        return PlainTextResponse(f"not ok: {found['why']}\n" if admitted(request) else "not ok\n", 503)

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        return Response(self.numbers.text(), headers={"Content-Type": self.numbers.type})


class Stream(StreamingResponse):
    """The feed as an answer that never ends; its viewer is counted until then, however it ends."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed.parts(), media_type=STREAM_TYPE)
        self.feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.feed.viewer():
            await super().__call__(scope, receive, send)


def _busy(why: str) -> Response:
    return PlainTextResponse(f"{why}; try again\n", 503, {"Retry-After": "5"})


def _json(content: object) -> Response:
    return Response(json.dumps(content, separators=(",", ":"), default=str), media_type="application/json")
