"""The door: every request comes through here before anything else is done with it."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pocketsight.device.web.auth import Slowed, Token

HEADERS = {  # of every answer
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",  # no page of another site may show the picture
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
KEPT = 180 * 24 * 3600  # seconds for which a browser keeps the cookie
OPEN = "/healthz"  # answered without a token, in one word
ADMITTED = "pocketsight.admitted"  # key of a request's scope

SIGN_IN = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>pocketsight: sign in</title>
<h1>pocketsight</h1>
<p>{}
<form action="/">
<p><label for="token">Token</label>
<p><input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button>
</form>
<p>It stands in the token file that was named when this run was started.
"""


class Guard:
    """Passes on what may be answered.

    Without a token only those who call this machine by a name of its own: else a page of another site could have its
    name point here, and look (DNS rebinding). With one, those who have it.
    """

    def __init__(self, app: ASGIApp, token: str | None, host: str, port: int) -> None:
        self.app, self.token = app, Token(token) if token else None
        self.names = {"localhost", "127.0.0.1", "::1", host.lower()}
        self.cookie = f"pocketsight-{port}"  # browsers do not tell the ports of a machine apart
        self.slowed = Slowed()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        request = Request(scope)
        answer = self._refused_body(request) or await self._refused(request)
        await (answer or self.app)(scope, receive, sent)

    def _refused_body(self, request: Request) -> Response | None:
        if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
            return None
        return PlainTextResponse("no request here has a body\n", 413, {"Connection": "close"})

    async def _refused(self, request: Request) -> Response | None:
        """None for those who may look."""
        if self.token is None:
            request.scope[ADMITTED] = True
            if _name(request.headers.get("host", "")) in self.names:
                return None
            return PlainTextResponse("call this page by http://localhost and its port\n", 403)
        request.scope[ADMITTED] = self._known(request, self.token)
        if admitted(request):
            return None
        given = _given(request)
        if given is not None and self.token.matches(given):
            return self._let_in(request, self.token)
        if given is None and self.cookie not in request.cookies and "authorization" not in request.headers:
            return None if request.url.path == OPEN else _sign_in("This page needs its token.", 401)
        if await self.slowed.wait(request.client.host if request.client else ""):
            return _sign_in("That is not the token.", 401)
        return _sign_in("Too many wrong tokens; try again in a while.", 429)

    def _known(self, request: Request, token: Token) -> bool:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return token.matches(given.strip())
        return token.matches_cookie(request.cookies.get(self.cookie, ""))

    def _let_in(self, request: Request, token: Token) -> Response:
        """To the page, by an address without the token, with a cookie."""
        answer = RedirectResponse("/", 303)
        secure = request.headers.get("x-forwarded-proto") == "https"  # behind a proxy that speaks TLS
        answer.set_cookie(self.cookie, token.cookie, KEPT, path="/", secure=secure, httponly=True, samesite="strict")
        return answer


def admitted(request: Request) -> bool:
    """Whether who asks may know everything, and did not only come through the open door."""
    return bool(request.scope.get(ADMITTED))


def _given(request: Request) -> str | None:
    """The token in the address of the page, if there is one."""
    if request.url.path != "/":
        return None
    try:
        found = parse_qs(request.scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return ""
    return found["token"][0] if "token" in found else None


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    name, _, after = host.lower().rpartition(":")
    name = name if after.isdecimal() and name else host.lower()
    return name.removeprefix("[").removesuffix("]").removesuffix(".")


def _sign_in(why: str, status: int) -> Response:
    return HTMLResponse(SIGN_IN.format(why), status, {"WWW-Authenticate": "Bearer"})
