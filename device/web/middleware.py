"""Authentication and security headers: every request passes through here first.

All addresses that the server gives are relative, so the page works below any path of a reverse proxy.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from urllib.parse import parse_qs, quote, unquote

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pocketsight.device.web.auth import LoginThrottle, Token

# Added to every response.
CONTENT_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors "
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_POLICY + "'none'",
    "Cross-Origin-Resource-Policy": "same-origin",  # pages of other sites must not show the image
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Seconds for which a browser keeps the cookie.
COOKIE_MAX_AGE = 180 * 24 * 3600
# Served without a token, but without details.
PUBLIC_PATH = "/healthz"
# The path below which a reverse proxy serves the page. "" if it serves it at its root, or if the header is malformed.
PREFIX = re.compile(r"(/[\w.~%@:+ -]+)+", re.ASCII)
# Key of the ASGI scope.
AUTHENTICATED_KEY = "pocketsight.authenticated"

SIGN_IN_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>pocketsight: sign in</title>
<link rel="icon" href="{root}icon.svg">
<h1>pocketsight</h1>
<p>{message}
<form action="{root}">
<p><label for="token">Token</label>
<p><input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button>
</form>
<p>The token is in the file given by --token-file when this run was started.
"""


class AuthMiddleware:
    """Passes only allowed requests to the application.

    With a token: requests that carry it or its cookie. Without one: requests whose Host header names this machine,
    because a page of another site could let its own name point here (DNS rebinding).
    """

    def __init__(
        self, app: ASGIApp, token: str | None, host: str, port: int, frame_origins: Sequence[str] = ()
    ) -> None:
        """`frame_origins` are those of pages that may show this one in a frame."""
        self.headers = dict(SECURITY_HEADERS)
        self.can_be_framed = bool(frame_origins)
        if frame_origins:
            self.headers["Content-Security-Policy"] = CONTENT_POLICY + " ".join(["'self'", *frame_origins])
            del self.headers["X-Frame-Options"]  # cannot name an origin
        self.app, self.token = app, Token(token) if token else None
        self.allowed_hosts = {"localhost", "127.0.0.1", "::1", host.lower()}
        self.cookie = f"pocketsight-{port}"  # browsers share cookies between the ports of a host
        self.login_throttle = LoginThrottle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        _remove_prefix(scope)
        request = Request(scope)
        response = self._reject_body(request) or await self._authenticate(request)
        await (response or self.app)(scope, receive, send_with_headers)

    def _reject_body(self, request: Request) -> Response | None:
        if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
            return None
        return PlainTextResponse("requests must not have a body\n", 413, {"Connection": "close"})

    async def _authenticate(self, request: Request) -> Response | None:
        """None if the request is allowed, else the response that refuses it."""
        if self.token is None:
            request.scope[AUTHENTICATED_KEY] = True
            if _host_name(request.headers.get("host", "")) in self.allowed_hosts:
                return None
            return PlainTextResponse("open this page as http://localhost:PORT\n", 403)
        request.scope[AUTHENTICATED_KEY] = self._has_credentials(request, self.token)
        if is_authenticated(request):
            return None
        token = _token_in_query(request)
        if token is not None and self.token.matches(token):
            return self._sign_in_redirect(request, self.token)
        if token is None and self.cookie not in request.cookies and "authorization" not in request.headers:
            return None if _path(request) == PUBLIC_PATH else _sign_in(request, "This page needs its token.", 401)
        if await self.login_throttle.delay_response(request.client.host if request.client else ""):
            return _sign_in(request, "This token is wrong.", 401)
        return _sign_in(request, "Too many wrong tokens; try again later.", 429)

    def _has_credentials(self, request: Request, token: Token) -> bool:
        kind, _, credentials = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return token.matches(credentials.strip())
        if kind.lower() == "basic":
            return token.matches(_basic_password(credentials))
        return token.matches_cookie(request.cookies.get(self.cookie, ""))

    def _sign_in_redirect(self, request: Request, token: Token) -> Response:
        """A redirect to the address without the token, with a cookie."""
        response = RedirectResponse("./", 303)
        secure = request.headers.get("x-forwarded-proto") == "https"  # behind a proxy that speaks TLS
        # Browsers send no strict cookie from a frame of another site, and others only over TLS.
        in_frames = self.can_be_framed and secure
        response.set_cookie(
            self.cookie,
            token.cookie,
            COOKIE_MAX_AGE,
            path=_prefix(request.scope) + "/",
            secure=secure,
            httponly=True,
            samesite="none" if in_frames else "strict",
        )
        if in_frames:  # so that browsers that block cookies of other sites keep it for this pair of sites
            response.headers["set-cookie"] += "; Partitioned"
        return response


def is_authenticated(request: Request) -> bool:
    """Whether the client has the token or needs none; False for a public path without a token."""
    return bool(request.scope.get(AUTHENTICATED_KEY))


def _token_in_query(request: Request) -> str | None:
    """The token in the query of the page's address, if there is one."""
    if _path(request) != "/":
        return None
    try:
        query = parse_qs(request.scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return ""
    return query["token"][0] if "token" in query else None


def _host_name(host: str) -> str:
    """The host of a Host header, without its port."""
    name, _, after = host.lower().rpartition(":")
    name = name if after.isdecimal() and name else host.lower()
    return name.removeprefix("[").removesuffix("]").removesuffix(".")


def _path(request: Request) -> str:
    return str(request.scope["path"])


def _prefix(scope: Scope) -> str:
    """The path below which a reverse proxy serves the page, quoted, without a slash at its end."""
    headers = dict(scope["headers"])
    prefix = headers.get(b"x-forwarded-prefix", b"").decode("latin-1").rstrip("/")
    return quote(prefix, safe="/%~@:+") if PREFIX.fullmatch(prefix) else ""


def _remove_prefix(scope: Scope) -> None:
    """Remove the prefix from the path, if the proxy has left it there."""
    prefix, path = unquote(_prefix(scope)), scope["path"]
    if prefix and path.startswith(f"{prefix}/"):
        scope["path"] = path.removeprefix(prefix)


def _basic_password(credentials: str) -> str:
    """The password of Basic authentication (RFC 7617), with any user name; "" if it is malformed."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _sign_in(request: Request, message: str, status: int) -> Response:
    """The page that asks for the token; a program is asked for a user and a password."""
    # A browser would show a dialog of its own.
    is_browser = request.headers.get("user-agent", "").startswith("Mozilla/")
    challenge = "Bearer" if is_browser else 'Basic realm="pocketsight", charset="UTF-8"'
    root = "../" * (_path(request).count("/") - 1) or "./"
    return HTMLResponse(SIGN_IN_PAGE.format(message=message, root=root), status, {"WWW-Authenticate": challenge})
