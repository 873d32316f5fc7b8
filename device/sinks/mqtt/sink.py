"""The MQTT sink: sends events and the state of a run to a broker, and through it to Home Assistant.

Below the topic of the address: `event` (in order, each acknowledged, with an id to recognize repeats), `state` (current
values, retained) and `status` (online or offline, retained; the broker publishes offline if the connection breaks).
Events pass through an outbox: a broker that is down costs no event and never blocks the run.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from pocketsight.device.errors import ServeError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import LogEntry, StatusView, to_json_line
from pocketsight.device.sinks.mqtt.address import BrokerAddress, parse_broker_address
from pocketsight.device.sinks.mqtt.config import MqttConfig
from pocketsight.device.sinks.mqtt.connection import (
    BrokerLost,
    BrokerRefused,
    MqttConnection,
    read_password,
    tls_context,
)
from pocketsight.device.sinks.mqtt.home_assistant import build_discovery_messages
from pocketsight.device.sinks.mqtt.outbox import Outbox
from pocketsight.device.sinks.mqtt.state import CurrentState, current_state, state_message
from pocketsight.device.sinks.mqtt.topics import Topics
from pocketsight.device.system.backoff import Backoff

STATE_INTERVAL, MIN_STATE_INTERVAL = 30.0, 1.0  # seconds between two states; at least, after a change
MAX_EVENTS_PER_SECOND = 500  # when many are queued, so that neither the broker nor the board is overloaded
FIRST_DELAY, MAX_DELAY = 1.0, 60.0  # seconds between two attempts to connect
RETRY_JITTER = 0.7, 1.0
STABLE_AFTER = 5.0  # seconds after which a connection counts as good
FLUSH_INTERVAL = 1.0  # seconds that an unacknowledged event may be in memory only
DRAIN_TIMEOUT = 0.8  # seconds that a run still sends after its end
EVENT_KINDS = "face", "fault"  # kinds of entries that are sent as events
BROKER_LOST, BROKER_REFUSED = "broker lost", "broker refused"
OUTBOX_CORRUPT, OUTBOX_FULL = "outbox corrupt", "outbox full"

logger = logging.getLogger(__name__)


def open_mqtt(
    target: str, config: MqttConfig, status: StatusView, folder: Path, report_fault: FaultReporter
) -> MqttSink:
    """A sink for `mqtt://[user@]host[:port][/topic]`. It connects in the background, as soon as the broker answers.

    The outbox is a file in `folder`. Raises ServeError when the settings cannot work, and LogError when the outbox
    cannot be opened.
    """
    address = parse_broker_address(target)
    if config.password_file:
        if not address.user:
            raise ServeError("--mqtt-password-file needs a user in the address: mqtt://NAME@HOST/TOPIC")
        read_password(config.password_file)
        if config.password_file.stat().st_mode & 0o004:
            path = config.password_file
            logger.warning("every user can read %s; protect it: chmod 600 %s", path, path)
    if config.ca_file and not address.tls:
        raise ServeError(f"--mqtt-ca-file is for mqtts:// addresses; {address} is not encrypted")
    context = tls_context(config.ca_file) if address.tls else None
    topics = Topics(address.prefix, config.discovery_prefix)
    outbox = Outbox(folder / f"outbox-{topics.device_id}.db", config.queue_size)
    return MqttSink(address, topics, config.password_file, context, outbox, status, report_fault)


class MqttSink:
    """A sink whose thread sends to a broker. `open_mqtt` creates it."""

    batch_interval = 0.0

    def __init__(
        self,
        address: BrokerAddress,
        topics: Topics,
        password_file: Path | None,
        context: ssl.SSLContext | None,
        outbox: Outbox,
        status: StatusView,
        report_fault: FaultReporter,
    ) -> None:
        self.name, self.address, self.topics, self.outbox, self.status = str(address), address, topics, outbox, status
        self._password_file, self._context, self._report_fault = password_file, context, report_fault
        self._last_label: str | None = None  # of an event
        self._last_state: CurrentState | None = None  # None: publish one at once
        self._last_state_time = 0.0  # monotonic seconds
        self._temperature_announced = False
        self._active_fault, self._was_full = "", False
        self._backoff = Backoff(FIRST_DELAY, MAX_DELAY, RETRY_JITTER, STABLE_AFTER)
        self._backoff.failures = 1  # the first retry waits for the second delay: the broker may be booting, too
        self._connected_since = 0.0  # monotonic seconds; 0: not connected
        self._stop = threading.Event()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        for end in (self._wake_receiver, self._wake_sender):
            end.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def bytes_written(self) -> int:
        """Bytes written to the disk, estimated."""
        return self.outbox.bytes_written

    @property
    def entries_deleted(self) -> int:
        """Events that were dropped because the outbox was full or corrupt."""
        return self.outbox.dropped

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Put faces and faults into the outbox; other entries are skipped. Raises LogError."""
        events = [entry for entry in entries if entry["kind"] in EVENT_KINDS]
        if not events:
            return
        self.outbox.put([to_json_line(entry) for entry in events])
        for entry in events:
            if entry["kind"] == "face" and entry["event"] != "left":
                self._last_label = entry["label"]
        self._wake_thread()

    def close(self) -> None:
        """Send for up to a second, keep the rest on the disk, and publish offline. Takes at most 1.3 s and a flush.

        Raises LogError when the rest cannot be written.
        """
        self._stop.set()
        self._wake_thread()
        self._thread.join(DRAIN_TIMEOUT + 0.5)  # a name server may block it; it is a daemon
        if not self._thread.is_alive():
            self._wake_receiver.close()
            self._wake_sender.close()
        self.outbox.close()

    def _wake_thread(self) -> None:
        with suppress(OSError):  # the buffer is full: the thread wakes up anyway
            self._wake_sender.send(b"!")

    def _run(self) -> None:
        while not self._stop.is_set():
            self._connected_since = 0.0
            try:
                self._run_connection()
            except BrokerRefused as error:
                self._backoff.exhaust()  # somebody must correct the settings
                self._set_fault(BROKER_REFUSED, str(error))
            except BrokerLost as error:
                if self._connected_since:
                    self._backoff.succeeded(time.monotonic() - self._connected_since)
                self._set_fault(BROKER_LOST, f"{self.address}: {error}; events are queued until it is back")
            except Exception as error:  # the run must go on, and the log must show the reason
                self._set_fault(BROKER_LOST, f"{self.address}: {type(error).__name__}: {error}")
            delay = self._backoff.next_delay()
            logger.debug("%s: next attempt in %.1f s", self.address, delay)
            self._wait_before_retry(delay)

    def _wait_before_retry(self, delay: float) -> None:
        end = time.monotonic() + delay
        while (remaining := end - time.monotonic()) > 0 and not self._stop.wait(min(remaining, 1.0)):
            self._update_status(False)

    def _run_connection(self) -> None:
        """One connection, from connecting to its end. Raises BrokerLost or BrokerRefused."""
        try:
            password = read_password(self._password_file) if self._password_file else None  # may have been corrected
        except ServeError as error:
            raise BrokerRefused(str(error)) from error
        topics = self.topics
        # Always the same client id, so that the broker drops an old connection of ours.
        client_id = f"{topics.device_id}_{socket.gethostname()}"
        connection = MqttConnection(self.address, client_id, (topics.status, "offline"), self._wake_receiver)
        try:
            connection.connect(password, self._context)
            self._connected_since = time.monotonic()
            logger.info("connected to %s", self.address)
            self._set_fault("", "")
            watched = [topics.status, topics.birth] if topics.discovery_prefix else [topics.status]
            connection.client.subscribe([(topic, 1) for topic in watched])
            self._announce(connection)
            self.outbox.has_consumer = True
            self._send_until_stopped(connection)
            connection.close(topics.status, "offline")
        finally:
            self.outbox.has_consumer = False
            connection.abort()
            self.outbox.acknowledge(connection.acknowledged)
            self.outbox.flush()

    def _send_until_stopped(self, connection: MqttConnection) -> None:
        """Send events and states until the sink is closed, and then up to DRAIN_TIMEOUT longer."""
        last_sent, budget, end = 0, 0.0, 0.0
        previous = last_flush = time.monotonic()
        while not end or (previous < end and len(self.outbox)):
            now = time.monotonic()
            if self._stop.is_set():
                end = end or now + DRAIN_TIMEOUT
            allowance = connection.capacity if end else budget + MAX_EVENTS_PER_SECOND * (now - previous)
            budget, previous = min(connection.capacity, allowance), now
            lines = self.outbox.peek(last_sent, int(budget))
            for number, text in lines:
                connection.send(self.topics.event, number, text)
                last_sent = number
            budget -= len(lines)
            self._update_status(True)
            self._publish_state(connection, now)
            connection.poll(0.02 if end or last_sent < self.outbox.last_number else 1.0)
            self.outbox.acknowledge(connection.acknowledged)
            self._handle_messages(connection)
            if now - last_flush >= FLUSH_INTERVAL:
                self.outbox.flush()
                last_flush = now

    def _handle_messages(self, connection: MqttConnection) -> None:
        for topic, text in connection.received:
            if topic == self.topics.status and text == b"offline":
                connection.publish(topic, "online", qos=1)  # it was the will of an old connection of ours
            elif topic == self.topics.birth and text == b"online":
                self._announce(connection)
        connection.received.clear()

    def _announce(self, connection: MqttConnection) -> None:
        """Publish the discovery messages and `online`, and make the state due."""
        self._temperature_announced = self._has_temperature()
        if self.topics.discovery_prefix:
            messages = build_discovery_messages(
                self.topics, self.status.labels, self._temperature_announced, version("pocketsight")
            )
            for topic, text in messages.items():
                connection.publish(topic, text, qos=1)
        connection.publish(self.topics.status, "online", qos=1)
        self._last_state = None

    def _has_temperature(self) -> bool:
        return self.status.info.get("temperature") is not None

    def _publish_state(self, connection: MqttConnection, now: float) -> None:
        """Publish the state when it is due, or when it has changed."""
        if not self._temperature_announced and self._has_temperature():
            self._announce(connection)
        age, state = now - self._last_state_time, current_state(self.status, self._last_label)
        has_changed = state != self._last_state and age >= MIN_STATE_INTERVAL
        if self._last_state is None or has_changed or age >= STATE_INTERVAL:
            self._last_state, self._last_state_time = state, now
            connection.publish(self.topics.state, json.dumps(state_message(state, self.status, self.outbox)))

    def _update_status(self, connected: bool) -> None:
        """Pass the state of the outbox and the connection to the status of the run."""
        outbox = self.outbox
        self.status.info["mqtt"] = {"connected": connected, "queued": len(outbox)}
        self.status.counters["outbox dropped"] = outbox.dropped
        if outbox.quarantine_reason:
            self._report_fault(OUTBOX_CORRUPT, True, outbox.quarantine_reason)
            self._report_fault(OUTBOX_CORRUPT, False, "")
            outbox.quarantine_reason = ""
        if outbox.is_full != self._was_full:
            self._was_full = not self._was_full
            detail = "the oldest events that wait for the broker are dropped" if self._was_full else ""
            self._report_fault(OUTBOX_FULL, self._was_full, detail)

    def _set_fault(self, fault: str, detail: str) -> None:
        """Begin a fault of the connection, and end another one; "" ends it only."""
        if self._active_fault and self._active_fault != fault:
            self._report_fault(self._active_fault, False, "" if fault else f"{self.address} is back")
        if fault and self._active_fault != fault and not self._stop.is_set():
            self._report_fault(fault, True, detail)
        self._active_fault = fault
