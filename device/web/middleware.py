"""Authentication and security headers: every request passes through here first."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pocketsight.device.web.auth import LoginThrottle, Token

# Added to every response.
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",  # pages of other sites must not show the image
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Seconds for which a browser keeps the cookie.
COOKIE_MAX_AGE = 180 * 24 * 3600
# Served without a token, but without details.
PUBLIC_PATH = "/healthz"
# Key of the ASGI scope.
AUTHENTICATED_KEY = "pocketsight.authenticated"

SIGN_IN_PAGE = """<!doctype html>
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
<p>The token is in the file given by --token-file when this run was started.
"""


class AuthMiddleware:
    """Passes only allowed requests to the application.

    With a token: requests that carry it or its cookie. Without one: requests whose Host header names this machine,
    because a page of another site could let its own name point here (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, token: str | None, host: str, port: int) -> None:
        self.app, self.token = app, Token(token) if token else None
        self.allowed_hosts = {"localhost", "127.0.0.1", "::1", host.lower()}
        self.cookie = f"pocketsight-{port}"  # browsers share cookies between the ports of a host
        self.login_throttle = LoginThrottle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

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
            return None if request.url.path == PUBLIC_PATH else _sign_in("This page needs its token.", 401)
        if await self.login_throttle.delay_response(request.client.host if request.client else ""):
            return _sign_in("This token is wrong.", 401)
        return _sign_in("Too many wrong tokens; try again later.", 429)

    def _has_credentials(self, request: Request, token: Token) -> bool:
        kind, _, credentials = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return token.matches(credentials.strip())
        return token.matches_cookie(request.cookies.get(self.cookie, ""))

    def _sign_in_redirect(self, request: Request, token: Token) -> Response:
        """A redirect to the address without the token, with a cookie."""
        response = RedirectResponse("/", 303)
        secure = request.headers.get("x-forwarded-proto") == "https"  # behind a proxy that speaks TLS
        response.set_cookie(
            self.cookie, token.cookie, COOKIE_MAX_AGE, path="/", secure=secure, httponly=True, samesite="strict"
        )
        return response


def is_authenticated(request: Request) -> bool:
    """Whether the client has the token or needs none; False for a public path without a token."""
    return bool(request.scope.get(AUTHENTICATED_KEY))


def _token_in_query(request: Request) -> str | None:
    """The token in the query of the page's address, if there is one."""
    if request.url.path != "/":
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


def _sign_in(message: str, status: int) -> Response:
    return HTMLResponse(SIGN_IN_PAGE.format(message), status, {"WWW-Authenticate": "Bearer"})
