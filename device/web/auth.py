"""Access control: anyone on this machine, and clients with the token from elsewhere."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from pocketsight.device.errors import DataError, ServeError
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.system.backoff import Backoff

# Characters of a token.
MIN_TOKEN_LENGTH = 16
# Addresses whose wrong tokens are remembered.
MAX_TRACKED_ADDRESSES = 256
# Responses to wrong tokens that are delayed at the same time; further ones are refused at once.
MAX_DELAYED_LOGINS = 16
# Seconds after which wrong tokens are forgotten.
FORGET_AFTER = 60.0

# Scheme, host and port of a page that may show ours in a frame.
ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d{1,5})?", re.ASCII | re.IGNORECASE)


def read_token(path: Path) -> tuple[str, bool]:
    """Read the token from a file, which is created if it is missing; also returns whether it was created.

    Raises ServeError if the file cannot be read or created, if everybody can read it, or if it holds no token.
    """
    try:
        created = _create_token_file(path)
        if path.stat().st_mode & 0o007:
            raise ServeError(f"{path} can be read by everybody on this machine: chmod 600 {path}")
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ServeError(f"the token file cannot be read or created: {path}: {error.strerror}") from error
    except DataError as error:
        raise ServeError(f"the token file cannot be read or created: {error}") from error
    except UnicodeDecodeError:
        token = ""
    if len(token) < MIN_TOKEN_LENGTH or not token.isprintable() or " " in token:
        raise ServeError(
            f"{path} must contain a token of {MIN_TOKEN_LENGTH} characters or more; remove the file to get a new token"
        )
    return token, created


def _create_token_file(path: Path) -> bool:
    """Write a new token, readable by its owner only, unless the file exists."""
    if path.exists():
        return False
    atomic_write(path, secrets.token_urlsafe(24) + "\n", mode=0o600)
    return True


def parse_bind_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[IPv6]:PORT`, or `PORT` for this machine only. Raises ServeError."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else "127.0.0.1"
    if not (host and port.isascii() and port.isdecimal() and int(port) < 65536):
        raise ServeError(f"--preview {address!r} must look like 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_origin(origin: str) -> None:
    """Raise ServeError unless a text is an origin, such as https://ha.local:8123."""
    if not ORIGIN.fullmatch(origin):
        raise ServeError(f"--preview-frame-origin {origin!r} must look like https://ha.local:8123, without a path")


class Token:
    """A token, compared in constant time. The browser's cookie is derived from it and does not reveal it."""

    def __init__(self, token: str) -> None:
        self.token = token.encode()
        self.cookie = hmac.new(self.token, b"pocketsight: authenticated browser", "sha256").hexdigest()

    def matches(self, given: str) -> bool:
        """Whether `given` is the token."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token)

    def matches_cookie(self, given: str) -> bool:
        """Whether `given` is the value of the cookie."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.cookie.encode())


class LoginThrottle:
    """Delays the responses to wrong tokens, longer each time, separately for each address."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, initial_delay: float = 0.1, max_delay: float = 5.0
    ) -> None:
        self.clock, self.initial_delay, self.max_delay = clock, initial_delay, max_delay
        # By network: its backoff, and the time of its last failure.
        self.failures: OrderedDict[str, tuple[Backoff, float]] = OrderedDict()
        self.delayed_count = 0

    def record_failure(self, address: str) -> float:
        """Count a wrong token; returns the seconds to wait before the response."""
        now, network = self.clock(), _network(address)
        backoff, last = self.failures.pop(network, (Backoff(self.initial_delay, self.max_delay), now))
        if now - last > FORGET_AFTER:
            backoff.reset()
        self.failures[network] = backoff, now
        if len(self.failures) > MAX_TRACKED_ADDRESSES:
            self.failures.popitem(last=False)
        return backoff.next_delay()

    async def delay_response(self, address: str) -> bool:
        """Wait for the delay of this address; returns False at once if too many responses are already waiting."""
        delay = self.record_failure(address)
        if self.delayed_count >= MAX_DELAYED_LOGINS:
            return False
        self.delayed_count += 1
        try:
            await asyncio.sleep(delay)
        finally:
            self.delayed_count -= 1
        return True


def _network(address: str) -> str:
    """The address itself, or for IPv6 its /64 network, which usually belongs to one customer."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ipaddress.ip_network((ip, 64), strict=False))
