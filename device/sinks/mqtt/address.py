"""TODO docstring."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pocketsight.device.errors import ServeError

ADDRESS_FORMAT = "mqtt://HOST/TOPIC or mqtts://HOST/TOPIC, with NAME@ before HOST where the broker knows users"


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker is, and below which topic we speak."""

    host: str
    port: int
    tls: bool
    user: str | None
    prefix: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}/{self.prefix}"


def parse_broker_address(target: str) -> BrokerAddress:
    """What `mqtt://host:1883/topic/prefix` says; the prefix may be left out. Raises ServeError."""
    shown = target.rpartition("@")[2]  # a password must not be shown
    try:
        parts = urlsplit(target)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ServeError(f"{shown} is no address of a broker; write {ADDRESS_FORMAT}") from error
    if parts.password is not None:
        raise ServeError(f"others can read the password in the address of {shown}; give it by --mqtt-password-file")
    if parts.scheme not in ("mqtt", "mqtts") or not host or parts.query:
        raise ServeError(f"{shown} is no address of a broker; write {ADDRESS_FORMAT}")
    prefix = unquote(parts.path).strip("/") or f"pocketsight/{socket.gethostname()}"
    if "#" in target or set(prefix) & {"#", "+", "\0"}:
        raise ServeError(f"a topic cannot hold # or +, as that of {shown} does")
    tls = parts.scheme == "mqtts"
    return BrokerAddress(host, port or (8883 if tls else 1883), tls, unquote(parts.username or "") or None, prefix)
