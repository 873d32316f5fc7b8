"""One connection to an MQTT broker. Each attempt uses a new one, so that no state of an old one remains."""

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

MAX_INFLIGHT = 20  # events without an acknowledgment; the default of mosquitto
CONNACK_TIMEOUT = 10.0  # seconds for the broker to accept the connection
PUBACK_TIMEOUT = 30.0  # seconds for the broker to acknowledge an event; then the connection counts as lost
DISCONNECT_TIMEOUT = 0.3  # seconds for the broker to accept the last message
KEEPALIVE = 30  # seconds without traffic before a ping; the broker drops us after half as long again
# By OpenSSL's codes for an invalid certificate, X509_V_ERR_*.
CERTIFICATE_HINTS = {
    9: "is the clock of this machine right?",
    10: "it must be renewed",
    62: "use the host name in the certificate",
    64: "use the host name in the certificate",
}


class BrokerLost(Exception):
    """The broker cannot be reached at the moment."""


class BrokerRefused(Exception):
    """The broker answers, but the settings are wrong."""


def read_password(path: Path) -> str:
    """The password in the first line of a file. Raises ServeError."""
    try:
        line = path.read_text().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise ServeError(f"the password in {path} cannot be read: {reason}") from error
    if not line:
        raise ServeError(f"{path} contains no password in its first line")
    return line


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A context that trusts `ca_file`, or else the system's authorities, and checks host names. Raises ServeError."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        reason = "it contains no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ServeError(f"{ca_file} cannot be used as --mqtt-ca-file: {reason}") from error


class MqttConnection:
    """A connection for a single thread. Network traffic happens only in `connect`, `poll` and `close`."""

    def __init__(
        self, address: BrokerAddress, client_id: str, will: tuple[str, str], wake_socket: socket.socket
    ) -> None:
        """Prepare a connection.

        `will` is the topic and text that the broker publishes if the connection breaks. A byte in `wake_socket` ends a
        wait in `poll` early.
        """
        self.address, self.wake_socket = address, wake_socket
        self.acknowledged = 0  # all events up to this number were acknowledged
        self.received: list[tuple[str, bytes]] = []  # topics and texts of new messages; the caller clears it
        self._inflight: dict[int, int] = {}  # event number by message id, in order
        self._last_sent, self._last_progress = 0, time.monotonic()
        self._connack: Any = None  # reason code of the broker
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=False)
        self.client.will_set(*will, qos=1, retain=True)
        self.client.on_connect = self._on_connect
        self.client.on_publish = self._on_publish
        self.client.on_message = self._on_message

    def connect(self, password: str | None, context: ssl.SSLContext | None) -> None:
        """Connect. Blocks for up to 15 s, or longer if the name server hangs. Raises BrokerLost or BrokerRefused."""
        if self.address.user:
            self.client.username_pw_set(self.address.user, password)
        if context:
            self.client.tls_set_context(context)
        try:
            self.client.connect(self.address.host, self.address.port, KEEPALIVE)
        except ssl.SSLCertVerificationError as error:
            hint = CERTIFICATE_HINTS.get(error.verify_code, "set its certificate authority by --mqtt-ca-file")
            reason = error.verify_message.rstrip(".")
            raise BrokerRefused(f"the broker's certificate is not trusted: {reason}; {hint}") from error
        except ssl.SSLError as error:
            reason = error.reason or str(error)
            raise BrokerRefused(f"the broker has no TLS on port {self.address.port}: {reason}") from error
        except OSError as error:
            raise BrokerLost(error.strerror or str(error) or "no answer") from error
        self._wait_for_connack()

    def _wait_for_connack(self) -> None:
        end = time.monotonic() + CONNACK_TIMEOUT
        while self._connack is None:
            if time.monotonic() > end:
                raise BrokerLost(f"no answer to MQTT on port {self.address.port}")
            self.poll(0.5)
        if self._connack == "Server unavailable":
            raise BrokerLost("it is not ready")
        if self._connack.is_failure:
            user = f"user {self.address.user}" if self.address.user else "clients without a user name"
            hint = "correct the address or --mqtt-password-file"
            raise BrokerRefused(f"the broker refuses {user} ({self._connack}); {hint}")

    @property
    def capacity(self) -> int:
        """Events that may be sent now."""
        return MAX_INFLIGHT - len(self._inflight)

    def send(self, topic: str, number: int, text: str) -> None:
        """Send an event, not retained, that the broker must acknowledge. Numbers must increase."""
        if not self._inflight:
            self._last_progress = time.monotonic()
        self._last_sent = number
        self._inflight[self.client.publish(topic, text, qos=1).mid] = number

    def publish(self, topic: str, text: str, qos: int = 0) -> None:
        """Publish a retained message: the broker passes the last one on a topic to new subscribers."""
        self.client.publish(topic, text, qos=qos, retain=True)

    def poll(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the broker or a wake-up, and handle messages. Raises BrokerLost."""
        sock: Any = self.client.socket()
        if sock is None:
            raise BrokerLost("it closed the connection")
        pending = self.address.tls and sock.pending() > 0  # already decrypted: poll does not report it
        poll = select.poll()  # select fails with file descriptors above 1023
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
            raise BrokerLost("it does not acknowledge events")

    def close(self, topic: str, text: str) -> None:
        """Publish a last retained message and disconnect, so that the broker does not publish the will."""
        last = self.client.publish(topic, text, qos=1, retain=True)
        end = time.monotonic() + DISCONNECT_TIMEOUT
        with suppress(BrokerLost):
            while not last.is_published() and time.monotonic() < end:  # unread data would reset the connection
                self.poll(0.05)
            self.client.disconnect()
            self.poll(0.05)

    def abort(self) -> None:
        """Close the socket without a disconnect message."""
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
