"""One connection to an MQTT broker. Each attempt uses a new one, so that no state of an old one remains."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from pocketsight.device.sinks.mqtt.address import BrokerAddress
from pocketsight.device.sinks.mqtt.credentials import describe_certificate_error

MQTT_5, MQTT_3 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
MAX_INFLIGHT = 20  # messages without an acknowledgment; the default of mosquitto
CONNACK_TIMEOUT = 10.0  # seconds for the broker to accept the connection
PUBACK_TIMEOUT = 30.0  # seconds for the broker to acknowledge an event; then the connection counts as lost
DISCONNECT_TIMEOUT = 0.3  # seconds for the broker to accept the last message
KEEPALIVE = 30  # seconds without traffic before a ping; the broker drops us after half as long again
# Reason codes of a broker that will accept the same thing later.
TEMPORARY = "Server unavailable", "Server busy", "Quota exceeded", "Connection rate exceeded"
NO_VERSION = "Unsupported protocol version"

# mosquitto answers so to a message above its message_size_limit. The standard does not list it there, and paho ends the
# connection when it meets a code that it does not list.
_names = ReasonCode.names[149]["Packet too large"]
if PacketTypes.PUBACK not in _names:
    _names.append(PacketTypes.PUBACK)


class BrokerLost(Exception):
    """The broker cannot be reached at the moment."""


class VersionRefused(BrokerLost):
    """The broker does not speak this version of MQTT."""


class ConnectionClosed(BrokerLost):
    """The broker has closed the connection without a reason."""


class SessionTakenOver(BrokerLost):
    """Another client has connected with our client id."""


class BrokerRefused(Exception):
    """The broker answers, but the settings are wrong."""


class Answer(NamedTuple):
    """What the broker says to a message or a subscription."""

    topic: str
    reason: str  # why it is denied; "": accepted
    event: int | None = None  # number of the event, if it is one


class Message(NamedTuple):
    """A message of another client, or the retained one of a topic."""

    topic: str
    text: bytes
    retained: bool


class MqttConnection:
    """A connection for a single thread. Network traffic happens only in `connect`, `poll` and `close`."""

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        will: tuple[str, str],
        wake_socket: socket.socket,
        protocol: MQTTProtocolVersion = MQTT_5,
    ) -> None:
        """Prepare a connection.

        `will` is the topic and text that the broker publishes if the connection breaks. A byte in `wake_socket` ends a
        wait in `poll` early.
        """
        self.address, self.wake_socket, self.protocol = address, wake_socket, protocol
        self.settled = 0  # all events up to this number were acknowledged or denied
        self.answers: list[Answer] = []  # new ones; the caller clears it
        self.received: list[Message] = []  # new ones; the caller clears it
        self.max_packet_size = 0  # bytes; 0: no limit
        self._max_inflight = MAX_INFLIGHT  # messages without an acknowledgment
        self._waiting: deque[tuple[str, str, bool]] = deque()  # topic, text, retain: above this limit
        self._inflight: dict[int, int] = {}  # event number by message id, in order
        self._topics: dict[int, str] = {}  # of all messages that are not acknowledged, by message id
        self._subscriptions: dict[int, str] = {}  # topics by message id
        self._last_sent, self._last_progress = 0, time.monotonic()
        self._connack: Any = None  # reason code of the broker
        self._end: BrokerLost | None = None  # why the connection cannot go on
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, reconnect_on_failure=False
        )
        self.client.will_set(*will, qos=1, retain=True)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = self._on_publish
        self.client.on_subscribe = self._on_subscribe
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
            raise BrokerRefused(describe_certificate_error(error)) from error
        except ssl.SSLError as error:
            reason = error.reason or str(error)
            raise BrokerRefused(f"the broker has no TLS on port {self.address.port}: {reason}") from error
        except OSError as error:
            raise BrokerLost(error.strerror or str(error) or "no answer") from error
        self._wait_for_connack()

    def _wait_for_connack(self) -> None:
        end = time.monotonic() + CONNACK_TIMEOUT
        try:
            while self._connack is None:
                if time.monotonic() > end:
                    raise BrokerLost(f"no answer to MQTT on port {self.address.port}")
                self.poll(0.5)
        except BrokerLost as error:
            if self.protocol == MQTT_5:  # some brokers do not answer to a version that they do not speak
                raise VersionRefused(*error.args) from error
            raise
        if self._connack == NO_VERSION:
            raise VersionRefused("it speaks another version of MQTT")
        if str(self._connack) in TEMPORARY:
            raise BrokerLost(f"it is not ready ({self._connack})")
        if self._connack.is_failure:
            user = f"user {self.address.user}" if self.address.user else "clients without a user name"
            hint = "correct the address or --mqtt-password-file"
            if str(self._connack) in ("Retain not supported", "QoS not supported"):
                user, hint = "what pocketsight needs", "let it accept retained messages and QoS 1"
            raise BrokerRefused(f"the broker refuses {user} ({self._connack}); {hint}")

    @property
    def capacity(self) -> int:
        """Events that may be sent now."""
        return max(0, self._max_inflight - len(self._topics))

    @property
    def local_host(self) -> str:
        """The address of this machine, as the broker sees it."""
        sock: Any = self.client.socket()
        return str(sock.getsockname()[0]) if sock else ""

    def send(self, topic: str, number: int, text: str) -> None:
        """Send an event, not retained, that the broker must acknowledge. Numbers must increase."""
        if not self._inflight:
            self._last_progress = time.monotonic()
        self._last_sent = number
        if not self._is_too_large(topic, text, number):
            message = self.client.publish(topic, text, qos=1).mid
            self._inflight[message], self._topics[message] = number, topic
        self._settle()

    def publish(self, topic: str, text: str, retain: bool = True) -> None:
        """Publish a message; the broker passes the last retained one on a topic to new subscribers."""
        if not self._is_too_large(topic, text):
            self._waiting.append((topic, text, retain))
            self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self.capacity:
            topic, text, retain = self._waiting.popleft()
            self._topics[self.client.publish(topic, text, qos=1, retain=retain).mid] = topic

    def subscribe(self, topics: Sequence[str], required: bool = True) -> None:
        """Ask for the messages of others on some topics, and for the retained ones.

        If it is not `required`, nothing is answered, and all retained messages come at once (QoS 0).
        """
        for topic in topics:  # one at a time: many would exceed a small limit of the broker
            options: Any = int(required)
            if self.protocol == MQTT_5:
                options = SubscribeOptions(qos=int(required), noLocal=True)
            _, message = self.client.subscribe([(topic, options)])
            if message is not None and required:
                self._subscriptions[message] = topic

    def poll(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the broker or a wake-up, and handle messages. Raises BrokerLost."""
        sock: Any = self.client.socket()
        if self._end or sock is None:
            raise self._end or ConnectionClosed("it closed the connection")
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
        self._send_waiting()
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

    def _is_too_large(self, topic: str, text: str, event: int | None = None) -> bool:
        size = 10 + len(topic.encode()) + len(text.encode())  # at most: type, length, message id, no properties
        if not self.max_packet_size or size <= self.max_packet_size:
            return False
        reason = f"Packet too large: {size} bytes, the broker takes {self.max_packet_size}"
        self.answers.append(Answer(topic, reason, event))
        return True

    def _settle(self) -> None:
        self.settled = min(self._inflight.values(), default=self._last_sent + 1) - 1

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: Any, limits: Any) -> None:
        self._connack = reason
        self.max_packet_size = getattr(limits, "MaximumPacketSize", 0)
        self._max_inflight = min(MAX_INFLIGHT, getattr(limits, "ReceiveMaximum", MAX_INFLIGHT))
        if not (getattr(limits, "RetainAvailable", 1) and getattr(limits, "MaximumQoS", 1)):
            self._connack = ReasonCode(PacketTypes.CONNACK, "Retain not supported")

    def _on_disconnect(self, client: Client, data: Any, flags: Any, reason: Any, more: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            kind = SessionTakenOver if reason == "Session taken over" else BrokerLost
            self._end = kind(f"it ended the connection ({reason})")

    def _on_publish(self, client: Client, data: Any, message: int, reason: Any, more: Any) -> None:
        topic = self._topics.pop(message, "")
        if reason.is_failure and str(reason) in TEMPORARY:
            self._end = BrokerLost(f"it does not accept {topic} now ({reason})")
            return
        number = self._inflight.pop(message, None)
        if topic:
            self.answers.append(Answer(topic, str(reason) if reason.is_failure else "", number))
        if number is not None:
            self._last_progress = time.monotonic()
            self._settle()

    def _on_subscribe(self, client: Client, data: Any, message: int, reasons: Any, more: Any) -> None:
        if topic := self._subscriptions.pop(message, ""):
            self.answers.append(Answer(f"subscription to {topic}", str(reasons[0]) if reasons[0].is_failure else ""))

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        self.received.append(Message(message.topic, bytes(message.payload), message.retain))
