"""Events and numbers to an MQTT broker, and through it to Home Assistant.

Below the topic of the address: `event` (each acknowledged, in order, with an id by which repeats can be told), `state`
(the numbers of now, retained) and `status` (online or offline, retained; the broker itself says offline when we die).
Events pass through an outbox: a broker that is away costs none of them and never holds up the run.
"""

from __future__ import annotations

import json
import random
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from pocketsight.device.errors import ServeError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.results import LOG_SCHEMA_VERSION, LogEntry, iso_timestamp, to_json_line
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.sinks.mqtt.address import BrokerAddress, parse_broker_address
from pocketsight.device.sinks.mqtt.connection import (
    BrokerLost,
    BrokerRefused,
    MqttConnection,
    read_password,
    tls_context,
)
from pocketsight.device.sinks.mqtt.home_assistant import BIRTH_TOPIC, build_discovery_messages
from pocketsight.device.sinks.mqtt.outbox import Outbox
from pocketsight.device.sinks.mqtt.topics import topic_id
from pocketsight.device.system.clock import clock_synced

OUTBOX_MAX_BYTES = 64 * 2**20  # bytes of the disk for events that wait
STATE_INTERVAL, MIN_STATE_INTERVAL = 30.0, 1.0  # seconds between two states; at least, where something changed
MAX_EVENTS_PER_SECOND = 500  # events a second when many have waited: a broker's queues and our own loop must bear it
FIRST_DELAY, MAX_DELAY, STABLE_AFTER = (
    1.0,
    60.0,
    5.0,
)  # seconds until the next attempt; a connection that held so long was a good one
FLUSH_INTERVAL = 1.0  # seconds for which an event that was not acknowledged may be in memory only
DRAIN_TIMEOUT = 0.8  # seconds in which a run that ends still sends
FRAME_STALE_AFTER = 5.0  # seconds after which a frame says nothing about now
EVENT_KINDS = "face", "fault"  # kinds of entries that are sent


def open_mqtt(
    target: str,
    *,
    password_file: Path | None,
    ca_file: Path | None,
    state: RunStatus,
    folder: Path,
    report_fault: FaultReporter,
    outbox_max_bytes: int = OUTBOX_MAX_BYTES,
    discovery_prefix: str = "homeassistant",
) -> MqttSink:
    """A sink for `mqtt://[user@]host[:port][/topic]`; it connects by itself, whenever that works.

    The outbox is made in `folder` and takes up to `room` bytes. `discovery` is Home Assistant's prefix, "" for none.
    Raises ServeError where the settings cannot work, LogError where the outbox cannot be written.
    """
    address = parse_broker_address(target)
    if password_file:
        if not address.user:
            raise ServeError("--mqtt-password-file needs a user in the address: mqtt://NAME@HOST/TOPIC")
        read_password(password_file)
        if password_file.stat().st_mode & 0o004:
            click.echo(f"warning: every user can read {password_file}; chmod 600 it", err=True)
    if ca_file and not address.tls:
        raise ServeError(f"--mqtt-ca-file is for mqtts:// addresses; {address} is sent in clear")
    context = tls_context(ca_file) if address.tls else None
    outbox = Outbox(folder / f"outbox-{topic_id(address.prefix)}.db", outbox_max_bytes)
    return MqttSink(address, password_file, context, outbox, state, report_fault, discovery_prefix)


class MqttSink:
    """A sink with a thread of its own that sends. See sink.py."""

    batch_interval = 0.0

    def __init__(
        self,
        address: BrokerAddress,
        password_file: Path | None,
        context: ssl.SSLContext | None,
        outbox: Outbox,
        state: RunStatus,
        report_fault: FaultReporter,
        discovery_prefix: str,
    ) -> None:
        self.name, self.address, self.outbox, self.state = str(address), address, outbox, state
        self._password_file, self._context, self._report_fault, self._discovery_prefix = (
            password_file,
            context,
            report_fault,
            discovery_prefix,
        )
        self._last_label: str | None = None  # the last that was told
        self._last_state: Any = None  # what the last state was about; None: send one at once
        self._last_state_time = 0.0  # monotonic, of the last state
        self._temperature_announced = False  # with a temperature
        self._active_fault, self._was_full = "", False
        self._connected_since = 0.0  # monotonic, of the connection; 0: there is none
        self._stop = threading.Event()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        for end in (self._wake_receiver, self._wake_sender):
            end.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def bytes_written(self) -> int:
        """Written to the disk, about."""
        return self.outbox.bytes_written

    @property
    def entries_deleted(self) -> int:
        """Events that went unsent because the outbox was full or broken."""
        return self.outbox.dropped

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Put events into the outbox; other entries are not for a broker. Raises LogError."""
        events = [entry for entry in entries if entry["kind"] in EVENT_KINDS]
        if not events:
            return
        self.outbox.put([to_json_line(entry) for entry in events])
        for entry in events:
            if entry["kind"] == "face" and entry["what"] != "left":
                self._last_label = entry["sentiment"]
        self._wake_thread()

    def close(self) -> None:
        """Send what can be sent within a second, keep the rest, say offline. Takes at most 1.3 s and a forced write.

        Raises LogError when the rest cannot be kept.
        """
        self._stop.set()
        self._wake_thread()
        self._thread.join(DRAIN_TIMEOUT + 0.5)  # it may be stuck with a name server; it is a daemon
        if not self._thread.is_alive():
            self._wake_receiver.close()
            self._wake_sender.close()
        self.outbox.close()

    def _wake_thread(self) -> None:
        with suppress(OSError):  # full: it will wake up anyway
            self._wake_sender.send(b"!")

    def _run(self) -> None:
        tries = 0
        while not self._stop.is_set():
            self._connected_since = 0.0
            try:
                self._run_connection()
            except BrokerRefused as error:
                tries = 10  # somebody must come
                self._set_fault("broker refuses", str(error))
            except BrokerLost as error:
                tries = (
                    0
                    if self._connected_since and time.monotonic() - self._connected_since > STABLE_AFTER
                    else tries + 1
                )
                self._set_fault("broker lost", f"{self.address}: {error}; events wait, and go out when it is back")
            except Exception as error:  # the run must go on, and somebody must hear of it
                tries += 1
                self._set_fault("broker lost", f"{self.address}: {type(error).__name__}: {error}")
            self._wait_before_retry(min(MAX_DELAY, FIRST_DELAY * 2 ** min(tries, 10)) * random.uniform(0.7, 1))

    def _wait_before_retry(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._stop.wait(min(left, 1.0)):
            self._update_status(False)

    def _run_connection(self) -> None:
        """One connection, from its begin to its end. Raises Lost or Refused."""
        try:
            password = read_password(self._password_file) if self._password_file else None  # it may have been mended
        except ServeError as error:
            raise BrokerRefused(str(error)) from error
        status = f"{self.address.prefix}/status"
        name = (
            f"{topic_id(self.address.prefix)}_{socket.gethostname()}"  # always the same: the broker drops our old ghost
        )
        link = MqttConnection(self.address, name, (status, "offline"), self._wake_receiver)
        try:
            link.connect(password, self._context)
            self._connected_since = time.monotonic()
            self._set_fault("", "")
            link.client.subscribe(
                [(status, 1), *([(f"{self._discovery_prefix}/{BIRTH_TOPIC}", 1)] if self._discovery_prefix else [])]
            )
            self._announce(link)
            self.outbox.has_consumer = True
            self._send_until_stopped(link)
            link.close(status, "offline")
        finally:
            self.outbox.has_consumer = False
            link.abort()
            self.outbox.acknowledge(link.acknowledged)
            self.outbox.flush()

    def _send_until_stopped(self, connection: MqttConnection) -> None:
        """Send until the end is asked for, and a moment longer."""
        sent, budget, last, end = 0, 0.0, time.monotonic(), 0.0
        settled = last
        while not end or (last < end and len(self.outbox)):
            now = time.monotonic()
            if self._stop.is_set():
                end = end or now + DRAIN_TIMEOUT
            budget, last = (
                min(connection.capacity, connection.capacity if end else budget + MAX_EVENTS_PER_SECOND * (now - last)),
                now,
            )
            lines = self.outbox.peek(sent, int(budget))
            for number, text in lines:
                connection.send(f"{self.address.prefix}/event", number, text)
                sent = number
            budget -= len(lines)
            self._update_status(True)
            self._publish_state(connection, now)
            connection.poll(0.02 if end or sent < self.outbox.last_number else 1.0)
            self.outbox.acknowledge(connection.acknowledged)
            self._handle_messages(connection)
            if now - settled >= FLUSH_INTERVAL:
                self.outbox.flush()
                settled = now

    def _handle_messages(self, connection: MqttConnection) -> None:
        for topic, text in connection.received:
            if topic == f"{self.address.prefix}/status" and text == b"offline":
                connection.publish(topic, "online", qos=1)  # it was the will of our own ghost
            elif topic == f"{self._discovery_prefix}/{BIRTH_TOPIC}" and text == b"online":
                self._announce(connection)
        connection.received.clear()

    def _announce(self, connection: MqttConnection) -> None:
        """Who we are, that we are there, and how it is."""
        self._temperature_announced = self.state.info.get("temperature") is not None
        if self._discovery_prefix:
            labels = self.state.labels
            told = build_discovery_messages(
                self._discovery_prefix, self.address.prefix, labels, self._temperature_announced, version("pocketsight")
            )
            for topic, text in told.items():
                connection.publish(topic, text, qos=1)
        connection.publish(f"{self.address.prefix}/status", "online", qos=1)
        self._last_state = None

    def _publish_state(self, connection: MqttConnection, now: float) -> None:
        """Send the state when it is time, or when something changed."""
        if not self._temperature_announced and self.state.info.get("temperature") is not None:
            self._announce(connection)
        since = now - self._last_state_time
        about = self._current_state()
        if (
            self._last_state is None
            or since >= STATE_INTERVAL
            or (about != self._last_state and since >= MIN_STATE_INTERVAL)
        ):
            self._last_state, self._last_state_time = about, now
            connection.publish(f"{self.address.prefix}/state", json.dumps(self._state_message(about)))

    def _current_state(self) -> tuple[dict[str, int], str | None, list[str]]:
        """Faces by label, the last sentiment, faults."""
        record = self.state.latest
        fresh = record is not None and time.monotonic() - record.processed_monotonic < max(
            FRAME_STALE_AFTER, self.state.stale_after / 2
        )
        counts = Counter(seen.classification.label for seen in record.faces) if record and fresh else Counter[str]()
        labels = {label: counts[label] for label in (*self.state.labels, UNSURE)}
        return labels, self._last_label, sorted(self.state.info.get("faults", ()))

    def _state_message(self, state: tuple[dict[str, int], str | None, list[str]]) -> LogEntry:
        labels, sentiment, faults = state
        seen = self.state.snapshot()
        kept = "run", "uptime", "fps", "age", "frames", "dropped", "temperature", "throttled", "under_voltage"
        return {
            "v": LOG_SCHEMA_VERSION,
            "kind": "state",
            "time": iso_timestamp(time.time()),
            "synced": clock_synced(),
            "faces": sum(labels.values()),
            "labels": labels,
            "sentiment": sentiment,
            "faults": faults,
            "seen": seen["counters"].get("face appeared", 0),
            "waiting": len(self.outbox),
            "lost": self.outbox.dropped,
            **{key: seen.get(key) for key in kept},
        }

    def _update_status(self, connected: bool) -> None:
        """Tell what the outbox and the connection did."""
        outbox = self.outbox
        self.state.info["mqtt"] = {"connected": connected, "waiting": len(outbox)}
        self.state.counters["outbox dropped"] = outbox.dropped
        if outbox.quarantine_reason:
            self._report_fault("outbox broken", True, outbox.quarantine_reason)
            self._report_fault("outbox broken", False, "")
            outbox.quarantine_reason = ""
        if outbox.is_full != self._was_full:
            self._was_full = not self._was_full
            self._report_fault(
                "outbox full", self._was_full, "the oldest events that wait for the broker go" if self._was_full else ""
            )

    def _set_fault(self, fault: str, detail: str) -> None:
        """A fault of the broker has begun; "": none is left."""
        if self._active_fault and self._active_fault != fault:
            self._report_fault(self._active_fault, False, "" if fault else f"{self.address} is back")
        if fault and self._active_fault != fault and not self._stop.is_set():
            self._report_fault(fault, True, detail)
        self._active_fault = fault
