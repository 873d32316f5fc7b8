"""What a user can ask of a camera."""

from __future__ import annotations

from dataclasses import dataclass

from pocketsight.device.camera.imx500 import SensorNetwork
from pocketsight.device.vision.turn import UPRIGHT, Turn


@dataclass(frozen=True)
class CameraOptions:
    """Settings of a camera; those that a kind of source does not have are ignored or refused by it."""

    turn: Turn = UPRIGHT
    controls: tuple[tuple[str, str], ...] = ()
    """Name and value of each control."""
    pixel_format: str | None = None
    """FOURCC to request from a V4L2 camera; None: MJPG for large images, or else what the camera prefers."""
    frame_rate: float | None = None
    """Frames per second to request from the camera."""
    tuning_file: str | None = None
    """libcamera's tuning of a Pi camera: a name such as imx219_noir.json, or a path."""
    poll_rate: float = 1.0
    """Requests per second to an address that gives single images."""
    sensor_network: SensorNetwork | None = None
    """The network that an AI Camera runs itself."""


DEFAULT_OPTIONS = CameraOptions()
