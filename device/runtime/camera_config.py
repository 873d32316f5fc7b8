"""The settings of a run that only its camera needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketsight.device.runtime.option_spec import option

if TYPE_CHECKING:  # numpy comes with it, and help texts do not need it
    from pocketsight.device.camera.options import CameraOptions


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """How images are turned, and what is set in the camera."""

    rotate: int = option(
        0,
        "rotation",
        "camera.rotate",
        "Rotate the images clockwise, for a camera that is mounted turned.",
        metavar="0|90|180|270",
        default_text="",
    )
    mirror: bool = option(
        False,
        "flag",
        "camera.mirror",
        "Swap left and right, after the rotation.",
    )
    camera_control: tuple[str, ...] = option(
        (),
        "control",
        "camera.controls",
        "Set a control of the camera, such as AnalogueGain=4 or brightness=60; repeat it for several.",
        metavar="NAME=VALUE",
        multiple=True,
    )
    pixel_format: str | None = option(
        None,
        "text",
        "camera.pixel_format",
        "FOURCC to request from a V4L2 camera.",
        metavar="MJPG|YUYV|NV12",
        default_text="MJPG above 640x480",
    )
    camera_fps: float | None = option(
        None,
        "number",
        "camera.frame_rate",
        "Frame rate to request from the camera.",
        minimum=0,
        min_open=True,
        metavar="FPS",
        default_text="",
    )
    tuning_file: str | None = option(
        None,
        "text",
        "camera.tuning_file",
        "Tuning file of a Pi camera, such as imx219_noir.json for one without infrared filter.",
        metavar="FILE",
        default_text="",
    )

    def camera_options(self, poll_rate: float | None = None) -> CameraOptions:
        """What to ask of the camera; an address that gives single images is asked `poll_rate` times per second."""
        from pocketsight.device.camera.options import CameraOptions
        from pocketsight.device.vision.turn import Turn

        names_and_values = (control.partition("=") for control in self.camera_control)
        return CameraOptions(
            Turn(self.rotate, self.mirror),
            tuple((name.strip(), value.strip()) for name, _, value in names_and_values),
            self.pixel_format,
            self.camera_fps,
            self.tuning_file,
            poll_rate or CameraOptions.poll_rate,
        )
