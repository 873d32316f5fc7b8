"""Settings of the connection to an MQTT broker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MqttConfig:
    """The --mqtt-* options of a run."""

    password_file: Path | None = None  # the password is its first line
    ca_file: Path | None = None  # certificate authority, PEM; None: those of the system
    discovery_prefix: str = "homeassistant"  # topic prefix of Home Assistant discovery; "": no discovery
    queue_size: int = 64_000_000  # bytes on the disk for events that wait for the broker
