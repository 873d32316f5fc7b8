"""The address of an MQTT broker, as in --log."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pocketsight.device.errors import ServeError

ADDRESS_FORMAT = "mqtt://HOST/TOPIC or mqtts://HOST/TOPIC, with NAME@ before HOST if the broker has users"


@dataclass(frozen=True)
class BrokerAddress:
    """Host, user and topic prefix of a broker."""

    host: str
    port: int
    tls: bool
    user: str | None
    prefix: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}/{self.prefix}"


def parse_broker_address(target: str) -> BrokerAddress:
    """Parse `mqtt://host:1883/topic/prefix`; port and prefix are optional. Raises ServeError."""
    redacted = target.rpartition("@")[2]  # without a password
    invalid = f"{redacted} is not the address of a broker; use {ADDRESS_FORMAT}"
    try:
        parts = urlsplit(target)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ServeError(invalid) from error
    if parts.password is not None:
        raise ServeError(f"other users can read the password in the address of {redacted}; use --mqtt-password-file")
    if parts.scheme not in ("mqtt", "mqtts") or not host or parts.query:
        raise ServeError(invalid)
    prefix = unquote(parts.path).strip("/") or f"pocketsight/{socket.gethostname()}"
    if "#" in target or set(prefix) & {"#", "+", "\0"}:
        raise ServeError(f"a topic cannot contain # or +: {redacted}")
    tls = parts.scheme == "mqtts"
    return BrokerAddress(host, port or (8883 if tls else 1883), tls, unquote(parts.username or "") or None, prefix)
