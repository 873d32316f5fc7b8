"""The settings of a run: one table for the API, the options of `pocketsight run` and the settings file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from pocketsight.device.errors import SettingsError
from pocketsight.device.inference.shipped import DETECTOR, PRESETS
from pocketsight.device.runtime.camera_config import CameraConfig
from pocketsight.device.runtime.option_spec import option, spec_of
from pocketsight.device.runtime.sink_config import SinkConfig

if TYPE_CHECKING:  # numpy and OpenCV come with these, and help texts need neither
    from pocketsight.device.tracking.zones import Zone

MAX_THREADS = 64
MIN_WATCHDOG = 2.0  # seconds; the loop itself may wait that long


@dataclass(frozen=True)
class RunConfig(CameraConfig, SinkConfig):
    """The settings of a run. Its defaults suit a short look at a camera.

    `resolution` is (height, width) in pixels; sizes are bytes. Raises SettingsError when a value cannot work.
    """

    camera: str = option(
        "auto",
        "text",
        "camera.source",
        "Source: pi, a camera number, an http or rtsp address, a video file, an image, a folder, or synthetic.",
        metavar="SOURCE",
    )
    resolution: tuple[int, int] = option(
        (480, 640), "resolution", "camera.resolution", "Resolution to request from the camera."
    )
    detector: Path = option(
        DETECTOR,
        "detector",
        "models.detector",
        "Detector model file; tiny and large name the other shipped ones; none: classify whole frames.",
        metavar="FILE|tiny|large|none",
        default_text="the shipped one of medium size",
        reloadable=True,
    )
    classifier: Path | None = option(
        None,
        "classifier",
        "models.classifier",
        "Classifier model file; none: only detect.",
        default_text="the shipped one for a detector of faces, none for others",
        hidden_alias="--sentiment",
        metavar="FILE|none",
        reloadable=True,
    )
    threads: int | None = option(
        None,
        "integer",
        "models.threads",
        "Threads for each model.",
        minimum=1,
        maximum=MAX_THREADS,
        metavar="N",
        default_text="the fastest, measured",
    )
    delegate: str = option(
        "auto",
        "delegate",
        "models.delegate",
        "Hardware that runs the models; auto: a Coral if there is one and a model file compiled for it.",
        metavar="auto|cpu|edgetpu[:usb|:pci][:N]",
    )
    accelerator: str | None = option(
        None,
        "accelerator",
        "models.accelerator",
        "Let the AI Camera run the detector, with a file of export imx500; the CPU takes over where the camera cannot.",
        metavar="imx500[:FILE]",
        default_text="",
    )
    verify: bool = option(
        True,
        "flag",
        "models.verify",
        "Refuse a model whose results here differ from those at export.",
        negated_flag="--no-verify",
        default_text="verify",
    )
    fps: float | None = option(
        None,
        "number",
        "camera.fps",
        "Maximum frames per second.",
        minimum=0,
        min_open=True,
        metavar="FPS",
        default_text="every frame",
        reloadable=True,
    )
    detect_interval: int = option(
        1,
        "integer",
        "detect.interval",
        "Run the detector on one frame in N; tracks predict the boxes in between.",
        minimum=1,
        metavar="N",
        reloadable=True,
    )
    idle_fps: float = option(
        2.0,
        "number",
        "detect.idle_fps",
        "Frames per second while nothing moves; 0 keeps the full rate.",
        minimum=0,
        metavar="FPS",
        reloadable=True,
    )
    zones: tuple[Zone, ...] = option(
        (),
        "zone",
        "detect.zones",
        "Ignore what is outside this zone; x,y as fractions of the frame, '0,0.5 1,1' is its lower half.",
        flag="--zone",
        metavar="'X,Y X,Y …'",
        multiple=True,
        reloadable=True,
    )
    classify: tuple[str, ...] = option(
        (),
        "label",
        "models.classify",
        "Classify only what the detector gives this label; repeat it for several.",
        metavar="LABEL",
        multiple=True,
        default_text="all that the classifier is for",
    )
    threshold: str | None = option(
        None,
        "choice",
        "detect.threshold",
        "Thresholds of the detector that export chose: fewer false positives, the best F1, or fewer misses.",
        choices=PRESETS,
        default_text="that of the model",
        reloadable=True,
    )
    board: str = option(
        "",
        "text",
        "run.board",
        "Name of this board in its state and metrics.",
        metavar="NAME",
        default_text="the host name",
    )
    max_temperature: float | None = option(
        None,
        "number",
        "run.max_temperature",
        "Lower the frame rate before the board gets hotter than this, in degrees Celsius.",
        minimum=30,
        maximum=100,
        metavar="DEGREES",
        default_text="",
        reloadable=True,
    )
    max_frames: int | None = option(
        None,
        "integer",
        "run.max_frames",
        "Stop after this many frames.",
        minimum=1,
        metavar="N",
        default_text="",
    )
    save_video: Path | None = option(
        None, "path", "run.save_video", "Write an annotated video.", metavar="FILE.mp4", default_text=""
    )
    show: bool = option(False, "flag", "run.show", "Open a window.")
    preview: str | None = option(
        None,
        "text",
        "preview.address",
        "Serve a web page with the live view, such as 127.0.0.1:8080.",
        metavar="HOST:PORT",
        default_text="",
    )
    token_file: Path | None = option(
        None,
        "path",
        "preview.token_file",
        "File with the access token of the page; created if missing. Required if other machines can connect.",
        metavar="FILE",
        default_text="",
    )
    preview_url: str | None = option(
        None,
        "text",
        "preview.url",
        "Address of the page for others, such as behind a reverse proxy; Home Assistant links to it.",
        metavar="URL",
        default_text="the address of --preview, if others can reach it",
    )
    preview_frame_origins: tuple[str, ...] = option(
        (),
        "text",
        "preview.frame_origins",
        "Origin of a dashboard that may show the page in a frame, such as https://ha.local:8123.",
        flag="--preview-frame-origin",
        metavar="ORIGIN",
        multiple=True,
    )
    blur: bool = option(
        False, "flag", "run.blur", "Pixelate what is detected, such as faces, in every image that leaves this program."
    )
    watchdog: float = option(
        20.0,
        "number",
        "run.watchdog",
        "End the run when its loop hangs for this many seconds; 0 turns this off.",
        minimum=0,
        metavar="SECONDS",
    )

    def __post_init__(self) -> None:
        if 0 < self.watchdog < MIN_WATCHDOG:
            raise SettingsError(
                f"--watchdog {self.watchdog:g} is too short: give 0, or {MIN_WATCHDOG:g} seconds or more"
            )
        if not self.camera:
            raise SettingsError("--camera must not be empty; see: pocketsight run --help")
        if self.accelerator and self.camera.partition(":")[0] != "pi":
            raise SettingsError("--accelerator imx500 needs the AI Camera: give --camera pi")
        if self.accelerator and (self.rotate or self.mirror):
            raise SettingsError(
                "--rotate and --mirror do not turn what the network in the AI Camera sees: mount the camera upright"
            )
        if not all(self.log):
            raise SettingsError("--log must not be empty; see: pocketsight run --help")

    def accelerator_file(self) -> Path | None:
        """The file for the AI Camera: the given one, or that of the detector; None without an accelerator."""
        from pocketsight.device.inference.imx500_file import camera_file

        if not self.accelerator:
            return None
        given = self.accelerator.partition(":")[2]
        return Path(given).expanduser() if given else camera_file(self.detector)


OPTIONS = {each.name: spec_of(each) for each in sorted(fields(RunConfig), key=lambda each: bool(each.kw_only))}
"""The option of each field of RunConfig."""

RELOADABLE = tuple(name for name, spec in OPTIONS.items() if spec.reloadable)
"""Fields that SIGHUP may change while the loop runs."""
