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
from pathlib import Path

from paho.mqtt.enums import MQTTProtocolVersion

from pocketsight.device.errors import ServeError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import LogEntry, StatusView, to_json_line
from pocketsight.device.sinks.mqtt.address import BrokerAddress
from pocketsight.device.sinks.mqtt.announcer import Announcer
from pocketsight.device.sinks.mqtt.connection import (
    MQTT_3,
    MQTT_5,
    BrokerLost,
    BrokerRefused,
    ConnectionClosed,
    Message,
    MqttConnection,
    SessionTakenOver,
    VersionRefused,
)
from pocketsight.device.sinks.mqtt.credentials import read_password
from pocketsight.device.sinks.mqtt.faults import (
    BROKER_LOST,
    BROKER_REFUSED,
    OUTBOX_CORRUPT,
    OUTBOX_FULL,
    SESSION_TAKEN_OVER,
    TOPIC_SHARED,
    BrokerFaults,
)
from pocketsight.device.sinks.mqtt.outbox import Outbox
from pocketsight.device.sinks.mqtt.state import CurrentState, current_state, other_run, state_message
from pocketsight.device.sinks.mqtt.topics import Topics
from pocketsight.device.system.backoff import Backoff
from pocketsight.device.system.machine_id import machine_id

STATE_INTERVAL, MIN_STATE_INTERVAL = 30.0, 1.0  # seconds between two states; at least, after a change
MAX_EVENTS_PER_SECOND = 500  # when many are queued, so that neither the broker nor the board is overloaded
FIRST_DELAY, MAX_DELAY = 1.0, 60.0  # seconds between two attempts to connect
RETRY_JITTER = 0.7, 1.0
STABLE_AFTER = 5.0  # seconds after which a connection counts as good
FLUSH_INTERVAL = 1.0  # seconds that an unacknowledged event may be in memory only
DRAIN_TIMEOUT = 0.8  # seconds that a run still sends after its end
EVENT_KINDS = "face", "fault"  # kinds of entries that are sent as events

logger = logging.getLogger(__name__)


class MqttSink:
    """A sink whose thread sends to a broker. `open_mqtt` in factory.py creates it."""

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
        # Always the same, so that the broker drops an old connection of ours; no other machine has it.
        self._client_id = f"{topics.device_id}_{machine_id()}"
        self._faults = BrokerFaults(self.name, report_fault)
        self._last_label: str | None = None  # of an event
        self._last_state: CurrentState | None = None  # None: publish one at once
        self._last_state_time = 0.0  # monotonic seconds
        self._has_published = False  # a state
        self._was_full = False
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
        """Events that were dropped because the outbox was full or corrupt, or that the broker denied."""
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
                try:
                    self._run_connection(MQTT_5)
                except VersionRefused as error:
                    logger.debug("%s: MQTT 5: %s; trying MQTT 3.1.1", self.address, error)
                    self._run_connection(MQTT_3)
            except BrokerRefused as error:
                self._backoff.exhaust()  # somebody must correct the settings
                self._begin_fault(BROKER_REFUSED, str(error))
            except SessionTakenOver as error:
                self._backoff.exhaust()
                self._session_taken_over(str(error))
            except BrokerLost as error:
                if isinstance(error, ConnectionClosed) and self._faults.is_active(SESSION_TAKEN_OVER):
                    self._backoff.exhaust()  # by the other client, again
                else:
                    if self._connected_since:
                        self._backoff.succeeded(time.monotonic() - self._connected_since)
                    self._begin_fault(BROKER_LOST, f"{error}; events are queued until it is back")
            except Exception as error:  # the run must go on, and the log must show the reason
                self._begin_fault(BROKER_LOST, f"{type(error).__name__}: {error}")
            delay = self._backoff.next_delay()
            logger.debug("%s: next attempt in %.1f s", self.address, delay)
            self._wait_before_retry(delay)

    def _session_taken_over(self, reason: str) -> None:
        cause = "is this a copy of another machine, or a second run with this topic?"
        self._begin_fault(SESSION_TAKEN_OVER, f"another client has our id {self._client_id} ({reason}); {cause}")

    def _begin_fault(self, fault: str, detail: str) -> None:
        """A fault of the connection begins, which ends other ones."""
        for other in {BROKER_LOST, BROKER_REFUSED} - {fault}:
            self._faults.end(other)
        if not self._stop.is_set():
            self._faults.begin(fault, detail)

    def _wait_before_retry(self, delay: float) -> None:
        end = time.monotonic() + delay
        while (remaining := end - time.monotonic()) > 0 and not self._stop.wait(min(remaining, 1.0)):
            self._update_status(False)

    def _run_connection(self, protocol: MQTTProtocolVersion) -> None:
        """One connection, from connecting to its end. Raises BrokerLost or BrokerRefused."""
        try:
            password = read_password(self._password_file) if self._password_file else None  # may have been corrected
        except ServeError as error:
            raise BrokerRefused(str(error)) from error
        topics, will = self.topics, (self.topics.status, "offline")
        connection = MqttConnection(self.address, self._client_id, will, self._wake_receiver, protocol)
        try:
            connection.connect(password, self._context)
            self._connected_since = time.monotonic()
            logger.info("connected to %s by MQTT %s", self.address, "5" if protocol == MQTT_5 else "3.1.1")
            self._faults.connected()
            birth = [topics.birth] if topics.discovery_prefix else []
            connection.subscribe([topics.status, topics.state, *birth])
            connection.subscribe(topics.announcements, required=False)
            connection.publish(topics.status, "online")
            self._last_state = None
            self.outbox.has_consumer = True
            self._send_until_stopped(connection, Announcer(topics, self.status, connection))
            connection.close(topics.status, "offline")
        finally:
            self.outbox.has_consumer = False
            connection.abort()
            self._handle_answers(connection)
            self.outbox.flush()

    def _send_until_stopped(self, connection: MqttConnection, announcer: Announcer) -> None:
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
            self._faults.tick(self._connected_since)
            if announcer.update():
                self._last_state = None
            self._publish_state(connection, now)
            connection.poll(0.02 if end or last_sent < self.outbox.last_number else 1.0)
            announcer.is_ready |= any(answer.topic == self.topics.status for answer in connection.answers)
            self._handle_answers(connection)
            self._handle_messages(connection, announcer)
            if now - last_flush >= FLUSH_INTERVAL:
                self.outbox.flush()
                last_flush = now

    def _handle_answers(self, connection: MqttConnection) -> None:
        for answer in connection.answers:
            if answer.event is not None and answer.reason:
                self.outbox.reject(answer.event)
            self._faults.answered(answer)
        connection.answers.clear()
        self.outbox.acknowledge(connection.settled)

    def _handle_messages(self, connection: MqttConnection, announcer: Announcer) -> None:
        for message in connection.received:
            announcer.receive(message)
            if message.topic == self.topics.state:
                self._handle_state(message)
            elif message.retained:
                continue
            elif message.topic == self.topics.status and message.text == b"offline":
                connection.publish(message.topic, "online")  # it was the will of an old connection of ours
            elif message.topic == self.topics.status:
                self._last_state = None  # another run on this topic would see it
            elif message.topic == self.topics.birth and message.text == b"online":
                announcer.announce_again()
                connection.publish(self.topics.status, "online")
        connection.received.clear()

    def _handle_state(self, message: Message) -> None:
        """Find other runs by their states. A retained one is new if we have published one before."""
        other, client_id = other_run(message.text, self.status.run_id)
        if not other or (message.retained and not self._has_published):
            return
        if client_id == self._client_id:  # not all brokers tell it when they close the connection
            self._session_taken_over(f"{other} took over the session")
        else:
            self._faults.begin(TOPIC_SHARED, f"{other} publishes to {self.topics.prefix}, too; use another topic")

    def _publish_state(self, connection: MqttConnection, now: float) -> None:
        """Publish the state when it is due, or when it has changed."""
        age = now - self._last_state_time
        state = current_state(self.status, self._last_label, self.outbox.dropped)
        has_changed = state != self._last_state and age >= MIN_STATE_INTERVAL
        if self._last_state is None or has_changed or age >= STATE_INTERVAL:
            self._last_state, self._last_state_time = state, now
            text = json.dumps(state_message(state, self.status, self.outbox, self._client_id))
            connection.publish(self.topics.state, text)
            self._has_published = True

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
