"""One connection to an MQTT broker. Each attempt is a new one, so that nothing of an old one is carried over."""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from pocketsight.device.errors import ServeError
from pocketsight.device.sinks.mqtt.address import BrokerAddress

MAX_INFLIGHT = 20  # events that may be on their way; mosquitto's own figure
CONNACK_TIMEOUT = 10.0  # seconds for the broker to say yes
PUBACK_TIMEOUT = 30.0  # seconds for it to acknowledge an event; then the connection counts as lost
DISCONNECT_TIMEOUT = 0.3  # seconds for the broker to take our last word
KEEPALIVE = 30  # seconds without a word before we ask whether it is there; half as long again before it gives us up
CERTIFICATE_HINTS = {  # of OpenSSL's reasons to refuse a certificate
    9: "is the clock of this machine right?",
    10: "it must be renewed",
    62: "the host must be called as it is in there",
    64: "the host must be called as it is in there",
}


class BrokerLost(Exception):
    """The broker is not there, for now."""


class BrokerRefused(Exception):
    """The broker is there, and somebody must mend something."""


def read_password(path: Path) -> str:
    """The first line of a file. Raises ServeError."""
    try:
        line = path.read_text().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ServeError(f"the password in {path} cannot be read: {why}") from error
    if not line:
        raise ServeError(f"{path} holds no password in its first line")
    return line


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Trusts `ca_file`, or what the system trusts; certificates and names are always checked. Raises ServeError."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ServeError(f"{ca_file} cannot be used as --mqtt-ca-file: {why}") from error


class MqttConnection:
    """A connection. Only one thread uses it; nothing happens but in `connect` and `turn`."""

    def __init__(
        self, address: BrokerAddress, client_id: str, will: tuple[str, str], wake_socket: socket.socket
    ) -> None:
        """`name` is ours to the broker; `will`: topic and text that it sends for us when we are gone; a byte in
        `wake` ends a wait early."""
        self.address, self.wake_socket = address, wake_socket
        self.acknowledged = 0  # all events up to this number were acknowledged
        self.received: list[tuple[str, bytes]] = []  # topics and texts that were not retained, for the caller to take
        self._inflight: dict[int, int] = {}  # event number by message id, in order
        self._last_sent, self._last_progress = 0, time.monotonic()
        self._connack: Any = None  # the broker's, once it has said yes or no
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=False)
        self.client.will_set(*will, qos=1, retain=True)
        self.client.on_connect = self._on_connect
        self.client.on_publish = self._on_publish
        self.client.on_message = self._on_message

    def connect(self, password: str | None, context: ssl.SSLContext | None) -> None:
        """Blocks for up to 15 s, longer where the name server does not answer. Raises Lost or Refused."""
        if self.address.user:
            self.client.username_pw_set(self.address.user, password)
        if context:
            self.client.tls_set_context(context)
        try:
            self.client.connect(self.address.host, self.address.port, KEEPALIVE)
        except ssl.SSLCertVerificationError as error:
            cure = CERTIFICATE_HINTS.get(error.verify_code, "give the authority that signed it by --mqtt-ca-file")
            raise BrokerRefused(
                f"the broker's certificate is not trusted: {error.verify_message.rstrip('.')}; {cure}"
            ) from error
        except ssl.SSLError as error:
            raise BrokerRefused(
                f"the broker does not speak TLS on port {self.address.port}: {error.reason or error}"
            ) from error
        except OSError as error:
            raise BrokerLost(error.strerror or str(error) or "no answer") from error
        end = time.monotonic() + CONNACK_TIMEOUT
        while self._connack is None:
            if time.monotonic() > end:
                raise BrokerLost(f"it does not speak MQTT on port {self.address.port}")
            self.poll(0.5)
        if self._connack == "Server unavailable":
            raise BrokerLost("it is not ready")
        if self._connack.is_failure:
            who = f"user {self.address.user}" if self.address.user else "those without a user name"
            raise BrokerRefused(f"the broker refuses {who} ({self._connack}); mend the address or --mqtt-password-file")

    @property
    def capacity(self) -> int:
        """Events that may be sent now."""
        return MAX_INFLIGHT - len(self._inflight)

    def send(self, topic: str, number: int, text: str) -> None:
        """Send an event that is to be acknowledged. Numbers count up."""
        if not self._inflight:
            self._last_progress = time.monotonic()
        self._last_sent = number
        self._inflight[self.client.publish(topic, text, qos=1).mid] = number

    def publish(self, topic: str, text: str, qos: int = 0) -> None:
        """Send what stays with the broker as the last word on its topic."""
        self.client.publish(topic, text, qos=qos, retain=True)

    def poll(self, timeout: float) -> None:
        """Wait for the broker or a wake-up, for up to `timeout` seconds, and do what is due. Raises Lost."""
        sock: Any = self.client.socket()
        if sock is None:
            raise BrokerLost("it closed the connection")
        pending = self.address.tls and sock.pending() > 0  # decrypted already, so poll does not see it
        poll = select.poll()  # not select: that fails with a thousand files open
        poll.register(sock, select.POLLIN | (select.POLLOUT if self.client.want_write() else 0))
        poll.register(self.wake_socket, select.POLLIN)
        ready = dict(poll.poll(0 if pending else int(1000 * timeout)))
        if ready.pop(self.wake_socket.fileno(), 0):
            with suppress(BlockingIOError):
                self.wake_socket.recv(4096)
        events = next(iter(ready.values()), 0)
        if pending or events & ~select.POLLOUT:
            self.client.loop_read()
        if events & select.POLLOUT:
            self.client.loop_write()
        self.client.loop_misc()
        if self._inflight and time.monotonic() - self._last_progress > PUBACK_TIMEOUT:
            raise BrokerLost("it does not acknowledge what it gets")

    def close(self, topic: str, text: str) -> None:
        """Leave a last word on a topic, and say goodbye, so that the will is not sent."""
        last = self.client.publish(topic, text, qos=1, retain=True)
        end = time.monotonic() + DISCONNECT_TIMEOUT
        with suppress(BrokerLost):
            while not last.is_published() and time.monotonic() < end:  # what was unread would make the goodbye a reset
                self.poll(0.05)
            self.client.disconnect()
            self.poll(0.05)

    def abort(self) -> None:
        """Close the socket without a word."""
        sock: Any = self.client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.close()

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: Any, more: Any) -> None:
        self._connack = reason

    def _on_publish(self, client: Client, data: Any, message: int, reason: Any, more: Any) -> None:
        if self._inflight.pop(message, None) is not None:
            self._last_progress = time.monotonic()
            self.acknowledged = min(self._inflight.values(), default=self._last_sent + 1) - 1

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        if not message.retain:
            self.received.append((message.topic, bytes(message.payload)))
