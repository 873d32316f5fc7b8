"""A real broker on a port of its own, that can be killed and started again; who listens to it, and who sends."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from pocketsight.device.inference.classifier import Classification
from pocketsight.device.results import FaceResult, FrameResult
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.sinks.mqtt.config import MqttConfig
from pocketsight.device.sinks.mqtt.factory import open_mqtt
from pocketsight.device.sinks.mqtt.sink import MqttSink
from pocketsight.device.vision.boxes import Box
from tests.support.entries import face
from tests.support.processes import until

LABELS = "happy", "sad"

PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))  # where Debian puts mosquitto


class Broker:
    """A mosquitto for this machine only. `lines` of its configuration follow the listener's."""

    def __init__(self, folder: Path, lines: Sequence[str] = ("allow_anonymous true",)) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config = folder / f"mosquitto-{self.port}.conf"
        self.config.write_text("\n".join([f"listener {self.port} 127.0.0.1", "user root", *lines, ""]))
        self.log = folder / f"mosquitto-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        program = shutil.which("mosquitto", path=PATH)
        assert program
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([program, "-c", self.config], stdout=log, stderr=log)
        until(self._listens)

    def kill(self) -> None:
        """As a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _listens(self) -> bool:
        assert self.process and self.process.poll() is None, self.log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


@contextmanager
def broker(folder: Path, *lines: str) -> Iterator[Broker]:
    """A running broker that does not outlive its test; anybody may talk to it unless `lines` say otherwise."""
    found = Broker(folder, lines or ("allow_anonymous true",))
    try:
        found.start()
        yield found
    finally:
        found.kill()


class Listener:
    """Hears everything below a topic, from its start on and what is retained, also after the broker was away."""

    def __init__(self, port: int, topic: str = "#") -> None:
        self.heard: list[tuple[str, bytes, bool]] = []  # topic, text, whether it was retained
        self.connected = 0
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *more: client.subscribe(topic)
        self.client.on_subscribe = lambda *more: setattr(self, "connected", self.connected + 1)
        self.client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, bytes(message.payload), message.retain)
        )
        self.client.reconnect_delay_set(0.02, 0.02)  # type: ignore[arg-type,unused-ignore]  # sooner than those who send
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        until(lambda: self.connected > 0)

    def say(self, topic: str, text: str) -> None:
        """Publish something."""
        self.client.publish(topic, text, qos=1).wait_for_publish(5)

    def texts(self, topic: str) -> list[str]:
        """What was heard on exactly this topic."""
        return [text.decode() for name, text, _ in list(self.heard) if name == topic]

    def events(self, prefix: str) -> list[str]:
        """Ids of the events, repeats left out."""
        return list(dict.fromkeys(json.loads(text)["id"] for text in self.texts(f"{prefix}/event")))

    def last(self, prefix: str) -> dict[str, Any]:
        """The newest state; empty before there is one."""
        texts = self.texts(f"{prefix}/state")
        return dict(json.loads(texts[-1])) if texts else {}


@contextmanager
def listening(port: int, topic: str = "#") -> Iterator[Listener]:
    """A listener that does not outlive its test."""
    listener = Listener(port, topic)
    try:
        yield listener
    finally:
        listener.client.disconnect()
        listener.client.loop_stop()


class Sending:
    """A sink, what it tells, and what it looks at."""

    def __init__(self, target: str, folder: Path, run: str = "20261122T041500Z-a3f2", **options: Any) -> None:
        self.reports: list[tuple[str, bool, str]] = []
        self.state = RunStatus(run, LABELS)
        self.sink: MqttSink = open_mqtt(
            target, MqttConfig(**options), self.state, folder, lambda *words: self.reports.append(words)
        )

    def names(self) -> list[tuple[str, bool]]:
        return [(fault, active) for fault, active, _ in self.reports]

    def sees(self, *labels: str) -> None:
        faces = [FaceResult(Box(0, 0, 9, 9), 0.9, Classification(label, 0.8, 0)) for label in labels]
        self.state.add_frame(FrameResult(time.time(), time.monotonic(), 1, None, faces, {"total": 9.0}), 0.01)


@contextmanager
def sending(
    port: int, folder: Path, target: str = "mqtt://127.0.0.1:{}/home/door", **options: Any
) -> Iterator[Sending]:
    sent = Sending(target.format(port), folder, **options)
    try:
        yield sent
    finally:
        sent.sink.close()


def ids(first: int, last: int) -> list[str]:
    """Ids of the faces with these numbers."""
    return [str(face(number)["id"]) for number in range(first, last)]
