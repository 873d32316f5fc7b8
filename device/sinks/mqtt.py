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
from pocketsight.device.events import Tell
from pocketsight.device.health.clock import synced
from pocketsight.device.record import VERSION, Entry, iso, to_line
from pocketsight.device.sentiment import UNSURE
from pocketsight.device.sinks.broker import Address, Link, Lost, Refused, read_address, read_password, tls_context
from pocketsight.device.sinks.home_assistant import BIRTH, configs, node
from pocketsight.device.sinks.outbox import Outbox
from pocketsight.device.state import State

ROOM = 64 * 2**20  # bytes of the disk for events that wait
STATE, CHANGE = 30.0, 1.0  # seconds between two states; at least, where something changed
PACE = 500  # events a second when many have waited: a broker's queues and our own loop must bear it
FIRST, LONGEST, STEADY = 1.0, 60.0, 5.0  # seconds until the next attempt; a connection that held so long was a good one
HOLD = 1.0  # seconds for which an event that was not acknowledged may be in memory only
LAST = 0.8  # seconds in which a run that ends still sends
STALE = 5.0  # seconds after which a frame says nothing about now
EVENTS = "face", "fault"  # kinds of entries that are sent


def open_mqtt(
    target: str, *, password_file: Path | None, ca_file: Path | None, state: State, folder: Path, tell: Tell,
    room: int = ROOM, discovery: str = "homeassistant",
) -> MqttSink:  # fmt: skip
    """A sink for `mqtt://[user@]host[:port][/topic]`; it connects by itself, whenever that works.

    The outbox is made in `folder` and takes up to `room` bytes. `discovery` is Home Assistant's prefix, "" for none.
    Raises ServeError where the settings cannot work, LogError where the outbox cannot be written.
    """
    address = read_address(target)
    if password_file:
        if not address.user:
            raise ServeError("--mqtt-password-file needs a user in the address: mqtt://NAME@HOST/TOPIC")
        read_password(password_file)
        if password_file.stat().st_mode & 0o004:
            click.echo(f"warning: every user can read {password_file}; chmod 600 it", err=True)
    if ca_file and not address.tls:
        raise ServeError(f"--mqtt-ca is for mqtts:// addresses; {address} is sent in clear")
    context = tls_context(ca_file) if address.tls else None
    outbox = Outbox(folder / f"outbox-{node(address.prefix)}.db", room)
    return MqttSink(address, password_file, context, outbox, state, tell, discovery)


class MqttSink:
    """A sink with a thread of its own that sends. See sink.py."""

    interval = 0.0

    def __init__(
        self, address: Address, password_file: Path | None, context: ssl.SSLContext | None, outbox: Outbox,
        state: State, tell: Tell, discovery: str,
    ) -> None:  # fmt: skip
        self.name, self.address, self.outbox, self.state = str(address), address, outbox, state
        self._password_file, self._context, self._tell, self._discovery = password_file, context, tell, discovery
        self._sentiment: str | None = None  # the last that was told
        self._shown: Any = None  # what the last state was about; None: send one at once
        self._stated = 0.0  # monotonic, of the last state
        self._announced = False  # with a temperature
        self._fault, self._full = "", False
        self._since = 0.0  # monotonic, of the connection; 0: there is none
        self._end = threading.Event()
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def bytes(self) -> int:
        """Written to the disk, about."""
        return self.outbox.bytes

    @property
    def deleted(self) -> int:
        """Events that went unsent because the outbox was full or broken."""
        return self.outbox.dropped

    def write(self, entries: Sequence[Entry]) -> None:
        """Put events into the outbox; other entries are not for a broker. Raises LogError."""
        events = [entry for entry in entries if entry["kind"] in EVENTS]
        if not events:
            return
        self.outbox.put([to_line(entry) for entry in events])
        for entry in events:
            if entry["kind"] == "face" and entry["what"] != "left":
                self._sentiment = entry["sentiment"]
        self._ring()

    def close(self) -> None:
        """Send what can be sent within a second, keep the rest, say offline. Takes at most 1.3 s and a forced write.

        Raises LogError when the rest cannot be kept.
        """
        self._end.set()
        self._ring()
        self._thread.join(LAST + 0.5)  # it may be stuck with a name server; it is a daemon
        if not self._thread.is_alive():
            self._wake.close()
            self._waker.close()
        self.outbox.close()

    def _ring(self) -> None:
        with suppress(OSError):  # full: it will wake up anyway
            self._waker.send(b"!")

    def _run(self) -> None:
        tries = 0
        while not self._end.is_set():
            self._since = 0.0
            try:
                self._serve()
            except Refused as error:
                tries = 10  # somebody must come
                self._trouble("broker refuses", str(error))
            except Lost as error:
                tries = 0 if self._since and time.monotonic() - self._since > STEADY else tries + 1
                self._trouble("broker lost", f"{self.address}: {error}; events wait, and go out when it is back")
            except Exception as error:  # the run must go on, and somebody must hear of it
                tries += 1
                self._trouble("broker lost", f"{self.address}: {type(error).__name__}: {error}")
            self._rest(min(LONGEST, FIRST * 2 ** min(tries, 10)) * random.uniform(0.7, 1))

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._end.wait(min(left, 1.0)):
            self._report(False)

    def _serve(self) -> None:
        """One connection, from its begin to its end. Raises Lost or Refused."""
        try:
            password = read_password(self._password_file) if self._password_file else None  # it may have been mended
        except ServeError as error:
            raise Refused(str(error)) from error
        status = f"{self.address.prefix}/status"
        name = f"{node(self.address.prefix)}_{socket.gethostname()}"  # always the same: the broker drops our old ghost
        link = Link(self.address, name, (status, "offline"), self._wake)
        try:
            link.connect(password, self._context)
            self._since = time.monotonic()
            self._trouble("", "")
            link.client.subscribe([(status, 1), *([(f"{self._discovery}/{BIRTH}", 1)] if self._discovery else [])])
            self._announce(link)
            self.outbox.live = True
            self._send(link)
            link.close(status, "offline")
        finally:
            self.outbox.live = False
            link.drop()
            self.outbox.forget(link.taken)
            self.outbox.settle()

    def _send(self, link: Link) -> None:
        """Send until the end is asked for, and a moment longer."""
        sent, budget, last, end = 0, 0.0, time.monotonic(), 0.0
        settled = last
        while not end or (last < end and len(self.outbox)):
            now = time.monotonic()
            if self._end.is_set():
                end = end or now + LAST
            budget, last = min(link.room, link.room if end else budget + PACE * (now - last)), now
            lines = self.outbox.after(sent, int(budget))
            for number, text in lines:
                link.send(f"{self.address.prefix}/event", number, text)
                sent = number
            budget -= len(lines)
            self._report(True)
            self._show(link, now)
            link.turn(0.02 if end or sent < self.outbox.last else 1.0)
            self.outbox.forget(link.taken)
            self._hear(link)
            if now - settled >= HOLD:
                self.outbox.settle()
                settled = now

    def _hear(self, link: Link) -> None:
        for topic, text in link.heard:
            if topic == f"{self.address.prefix}/status" and text == b"offline":
                link.publish(topic, "online", qos=1)  # it was the will of our own ghost
            elif topic == f"{self._discovery}/{BIRTH}" and text == b"online":
                self._announce(link)
        link.heard.clear()

    def _announce(self, link: Link) -> None:
        """Who we are, that we are there, and how it is."""
        self._announced = self.state.facts.get("temperature") is not None
        if self._discovery:
            labels = self.state.labels
            told = configs(self._discovery, self.address.prefix, labels, self._announced, version("pocketsight"))
            for topic, text in told.items():
                link.publish(topic, text, qos=1)
        link.publish(f"{self.address.prefix}/status", "online", qos=1)
        self._shown = None

    def _show(self, link: Link, now: float) -> None:
        """Send the state when it is time, or when something changed."""
        if not self._announced and self.state.facts.get("temperature") is not None:
            self._announce(link)
        since = now - self._stated
        about = self._now()
        if self._shown is None or since >= STATE or (about != self._shown and since >= CHANGE):
            self._shown, self._stated = about, now
            link.publish(f"{self.address.prefix}/state", json.dumps(self._numbers(about)))

    def _now(self) -> tuple[dict[str, int], str | None, list[str]]:
        """Faces by label, the last sentiment, faults."""
        record = self.state.latest
        fresh = record is not None and time.monotonic() - record.seen < max(STALE, self.state.patience / 2)
        counts = Counter(seen.sentiment.label for seen in record.faces) if record and fresh else Counter[str]()
        labels = {label: counts[label] for label in (*self.state.labels, UNSURE)}
        return labels, self._sentiment, sorted(self.state.facts.get("faults", ()))

    def _numbers(self, about: tuple[dict[str, int], str | None, list[str]]) -> Entry:
        labels, sentiment, faults = about
        seen = self.state.snapshot()
        kept = "run", "uptime", "fps", "age", "frames", "dropped", "temperature", "throttled", "under_voltage"
        return {
            "v": VERSION, "kind": "state", "time": iso(time.time()), "synced": synced(),
            "faces": sum(labels.values()), "labels": labels, "sentiment": sentiment, "faults": faults,
            "seen": seen["counters"].get("face appeared", 0), "waiting": len(self.outbox), "lost": self.outbox.dropped,
            **{key: seen.get(key) for key in kept},
        }  # fmt: skip

    def _report(self, connected: bool) -> None:
        """Tell what the outbox and the connection did."""
        outbox = self.outbox
        self.state.facts["mqtt"] = {"connected": connected, "waiting": len(outbox)}
        self.state.counters["outbox dropped"] = outbox.dropped
        if outbox.set_aside:
            self._tell("outbox broken", True, outbox.set_aside)
            self._tell("outbox broken", False, "")
            outbox.set_aside = ""
        if outbox.full != self._full:
            self._full = not self._full
            self._tell("outbox full", self._full, "the oldest events that wait for the broker go" if self._full else "")

    def _trouble(self, fault: str, detail: str) -> None:
        """A fault of the broker has begun; "": none is left."""
        if self._fault and self._fault != fault:
            self._tell(self._fault, False, "" if fault else f"{self.address} is back")
        if fault and self._fault != fault and not self._end.is_set():
            self._tell(fault, True, detail)
        self._fault = fault
