"""What a run is asked to do: the options of `pocketsight run`, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pocketsight.device.follow.zones import Zone
from pocketsight.device.sinks.sink import Limits


@dataclass(frozen=True)
class Plan:
    """Defaults are those of a short look at a camera. What SIGHUP may change stands in CHANGES."""

    camera: str
    size: tuple[int, int]  # height, width asked of a live camera
    detector: Path
    sentiment: Path
    threads: int | None = None  # None: measured
    verify: bool = True  # models must compute here what they did where they were exported
    fps: float | None = None  # frames a second at most; None: as fast as they come
    every: int = 1  # the detector looks at one frame in so many
    idle: float = 2.0  # frames a second while nothing moves; 0: never rest
    zones: tuple[Zone, ...] = ()
    cool: float | None = None  # degrees Celsius that the board shall stay below
    frames: int | None = None  # stop after so many
    log: tuple[str, ...] = ("-",)
    log_level: str | None = None  # None: frames where the source ends, else events
    log_size: int | None = None  # bytes of a file; None, as of the next two: see `limits`
    log_age: float | None = None  # seconds of a file
    log_total: int | None = None  # bytes of a log
    save: Path | None = None
    show: bool = False
    preview: str | None = None  # host:port of the page
    token_file: Path | None = None
    blur: bool = False
    snapshots: Path | None = None
    snapshots_days: float = 7.0
    snapshots_size: int = 500_000_000  # bytes
    mqtt_password_file: Path | None = None
    mqtt_ca: Path | None = None
    mqtt_discovery: str = "homeassistant"  # prefix; "" for none
    mqtt_room: int = 64_000_000  # bytes of events that wait for the broker
    watchdog: float = 20.0  # seconds without a beat after which the process ends itself; 0: never
    delegate: str = "auto"  # or "cpu", or "edgetpu", with :usb or :pci and a number behind

    def limits(self, live: bool) -> Limits:
        """How much room a log takes: of a camera within limits, of files all it needs, unless it was said."""
        usual = Limits() if live else Limits(None, None, None)
        return Limits(self.log_size or usual.size, self.log_age or usual.age, self.log_total or usual.total)


CHANGES = "fps", "every", "idle", "zones", "cool", "detector", "sentiment", "log_level"
