"""The settings of what a run writes and sends: log, snapshots, kept frames, MQTT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketsight.device.runtime.option_spec import option

if TYPE_CHECKING:  # help texts need none of it
    from pocketsight.device.sinks.base import RotationConfig
    from pocketsight.device.sinks.mqtt.config import MqttConfig

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class SinkConfig:
    """Where results go, and how much of them is kept. Sizes are bytes."""

    log: tuple[str, ...] = option(
        ("-",),
        "log_target",
        "log.targets",
        "FILE.jsonl, FILE.db, FILE.csv, mqtt://HOST/TOPIC, or - for standard output; repeat it for several.",
        metavar="TARGET",
        multiple=True,
    )
    log_level: str | None = option(
        None,
        "choice",
        "log.level",
        "Log every frame, or events only.",
        choices=("frames", "events"),
        default_text="frames for files, events for cameras",
        reloadable=True,
    )
    log_max_bytes: int | None = option(
        None,
        "bytes",
        "log.max_bytes",
        "Rotate the log at this size.",
        default_text="10MB for cameras",
    )
    log_rotate_days: float | None = option(
        None,
        "number",
        "log.rotate_days",
        "Rotate the log after this many days.",
        minimum=0,
        min_open=True,
        metavar="DAYS",
        default_text="1 for cameras",
    )
    log_max_total: int | None = option(
        None,
        "bytes",
        "log.max_total",
        "Delete the oldest log files above this total size.",
        default_text="200MB for cameras",
    )
    snapshots: Path | None = option(
        None,
        "path",
        "snapshots.folder",
        "Save an image of each new object, such as a face, in this folder.",
        metavar="FOLDER",
        default_text="",
    )
    snapshots_retain_days: float = option(
        7.0,
        "number",
        "snapshots.retain_days",
        "Delete snapshots after this many days.",
        minimum=0,
        min_open=True,
        metavar="DAYS",
    )
    snapshots_max_bytes: int = option(
        500_000_000,
        "bytes",
        "snapshots.max_bytes",
        "Delete the oldest snapshots above this total size.",
    )
    collect: tuple[str, ...] = option(
        (),
        "choices",
        "collect.reasons",
        "Keep frames worth labeling; some of unsure, flapping, low-score and new-place.",
        choices=("unsure", "flapping", "low-score", "new-place"),
        metavar="REASON,...",
        default_text="keep none",
    )
    collect_folder: Path | None = option(
        None,
        "path",
        "collect.folder",
        "Keep these frames in this folder.",
        metavar="FOLDER",
        default_text="collected, in the folder of the outbox",
    )
    collect_retain_days: float = option(
        30.0,
        "number",
        "collect.retain_days",
        "Delete kept frames after this many days.",
        minimum=0,
        min_open=True,
        metavar="DAYS",
    )
    collect_max_bytes: int = option(
        500_000_000,
        "bytes",
        "collect.max_bytes",
        "Delete the oldest kept frames above this total size.",
    )
    mqtt_password_file: Path | None = option(
        None,
        "path",
        "mqtt.password_file",
        "File with the password for the broker.",
        metavar="FILE",
        default_text="",
    )
    mqtt_ca_file: Path | None = option(
        None,
        "path",
        "mqtt.ca_file",
        "Certificate of the authority that signed the broker's certificate.",
        metavar="FILE",
        default_text="those of the system",
    )
    mqtt_discovery_prefix: str = option(
        "homeassistant",
        "text",
        "mqtt.discovery_prefix",
        "Topic prefix of Home Assistant's discovery; '' turns discovery off.",
        metavar="PREFIX",
    )
    mqtt_queue_size: int = option(
        64_000_000,
        "bytes",
        "mqtt.queue_size",
        "Disk limit for events queued while the broker is unreachable; the oldest are dropped first.",
    )

    def rotation_config(self, is_live: bool) -> RotationConfig:
        """Limits of the log. Without settings the log of a camera is limited and that of files is not."""
        from pocketsight.device.sinks.base import RotationConfig

        defaults = RotationConfig() if is_live else RotationConfig(None, None, None)
        return RotationConfig(
            self.log_max_bytes or defaults.max_bytes,
            SECONDS_PER_DAY * self.log_rotate_days if self.log_rotate_days else defaults.max_age,
            self.log_max_total or defaults.max_total_bytes,
        )

    def mqtt_config(self) -> MqttConfig:
        """The settings of the connection to a broker."""
        from pocketsight.device.sinks.mqtt.config import MqttConfig

        return MqttConfig(self.mqtt_password_file, self.mqtt_ca_file, self.mqtt_discovery_prefix, self.mqtt_queue_size)
