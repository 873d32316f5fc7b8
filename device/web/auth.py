"""Who may look: on this machine everybody, from beyond it those who have the token."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from pocketsight.device.errors import ServeError

MIN_TOKEN_LENGTH = 16  # characters of a token
MAX_TRACKED_ADDRESSES = 256  # whose wrong tokens are remembered
MAX_DELAYED_LOGINS = 16  # wrong tokens that are made to wait at once; more are refused on the spot
FORGET_AFTER = 60.0  # seconds after which wrong tokens are forgotten


def read_token(path: Path) -> tuple[str, bool]:
    """The token in a file, which is made if it is missing, and whether it was made now.

    The file may be read by its owner only. Raises ServeError.
    """
    try:
        made = _create_token_file(path)
        if path.stat().st_mode & 0o007:
            raise ServeError(f"{path} can be read by everybody on this machine: chmod 600 {path}")
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ServeError(f"the token file {path} can neither be read nor made: {error.strerror}") from error
    except UnicodeDecodeError:
        token = ""
    if len(token) < MIN_TOKEN_LENGTH or not token.isprintable() or " " in token:
        raise ServeError(
            f"{path} holds no token of {MIN_TOKEN_LENGTH} characters or more; remove it, and a new one is made"
        )
    return token, made


def _create_token_file(path: Path) -> bool:
    """Write a new token where there is none, whole or not at all."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return True


def parse_bind_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[IPv6]:PORT` or `PORT` on this machine. Raises ServeError."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else "127.0.0.1"
    if not (host and port.isascii() and port.isdecimal() and int(port) < 65536):
        raise ServeError(f"--preview {address!r} is not like 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, and nobody else can reach it there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Token:
    """Compares in constant time. A browser keeps what is derived from the token, never the token itself."""

    def __init__(self, token: str) -> None:
        self.token = token.encode()
        self.cookie = hmac.new(self.token, b"pocketsight: this browser may look", "sha256").hexdigest()

    def matches(self, given: str) -> bool:
        """Whether `given` is the token."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token)

    def matches_cookie(self, given: str) -> bool:
        """Whether `given` is the cookie's value."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.cookie.encode())


class LoginThrottle:
    """Makes those wait who gave a wrong token, each time longer, and nobody else."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, initial_delay: float = 0.1, max_delay: float = 5.0
    ) -> None:
        self.clock, self.initial_delay, self.max_delay = clock, initial_delay, max_delay
        self.failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how often, and when last, by address
        self.delayed_count = 0

    def record_failure(self, address: str) -> float:
        """Count a wrong token; seconds to wait before the answer."""
        now, name = self.clock(), _network(address)
        count, last = self.failures.pop(name, (0, now))
        count = 0 if now - last > FORGET_AFTER else count
        self.failures[name] = count + 1, now
        if len(self.failures) > MAX_TRACKED_ADDRESSES:
            self.failures.popitem(last=False)
        return min(self.max_delay, self.initial_delay * float(1 << min(count, 20)))

    async def delay_response(self, address: str) -> bool:
        """Wait as long as this address deserves; False, at once, where too many are waiting already."""
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
    """The address, or of IPv6 the /64 that belongs to one customer."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False))
