"""What a run is asked to do: the options of `pocketsight run`, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pocketsight.device.sinks.base import RotationConfig
from pocketsight.device.sinks.mqtt.config import MqttConfig
from pocketsight.device.tracking.zones import Zone


@dataclass(frozen=True)
class RunConfig:
    """Defaults are those of a short look at a camera. What SIGHUP may change stands in CHANGES."""

    camera: str
    resolution: tuple[int, int]  # height, width asked of a live camera
    detector: Path
    classifier: Path
    threads: int | None = None  # None: measured
    verify: bool = True  # models must compute here what they did where they were exported
    fps: float | None = None  # frames a second at most; None: as fast as they come
    detect_interval: int = 1  # the detector looks at one frame in so many
    idle_fps: float = 2.0  # frames a second while nothing moves; 0: never rest
    zones: tuple[Zone, ...] = ()
    max_temperature: float | None = None  # degrees Celsius that the board shall stay below
    max_frames: int | None = None  # stop after so many
    log: tuple[str, ...] = ("-",)
    log_level: str | None = None  # None: frames where the source ends, else events
    log_max_bytes: int | None = None  # bytes of a file; None, as of the next two: see `limits`
    log_rotate_days: float | None = None  # of a file
    log_max_total: int | None = None  # bytes of a log
    save_video: Path | None = None
    show: bool = False
    preview: str | None = None  # host:port of the page
    token_file: Path | None = None
    blur: bool = False
    snapshots: Path | None = None
    snapshots_retain_days: float = 7.0
    snapshots_max_bytes: int = 500_000_000  # bytes
    mqtt_password_file: Path | None = None
    mqtt_ca_file: Path | None = None
    mqtt_discovery_prefix: str = "homeassistant"  # prefix; "" for none
    mqtt_queue_size: int = 64_000_000  # bytes of events that wait for the broker
    watchdog: float = 20.0  # seconds without a beat after which the process ends itself; 0: never
    delegate: str = "auto"  # or "cpu", or "edgetpu", with :usb or :pci and a number behind

    def rotation_config(self, is_live: bool) -> RotationConfig:
        """How much room a log takes: of a camera within limits, of files all it needs, unless it was said."""
        defaults = RotationConfig() if is_live else RotationConfig(None, None, None)
        return RotationConfig(
            self.log_max_bytes or defaults.max_bytes,
            86400 * self.log_rotate_days if self.log_rotate_days else defaults.max_age,
            self.log_max_total or defaults.max_total_bytes,
        )

    def mqtt_config(self) -> MqttConfig:
        """The settings of a broker."""
        return MqttConfig(self.mqtt_password_file, self.mqtt_ca_file, self.mqtt_discovery_prefix, self.mqtt_queue_size)


RELOADABLE = (
    "fps",
    "detect_interval",
    "idle_fps",
    "zones",
    "max_temperature",
    "detector",
    "classifier",
    "log_level",
)
