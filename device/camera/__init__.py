"""Camera sources: a Pi camera, USB and network cameras, video files, images, and a synthetic camera.

Names are imported when they are used: `pocketsight doctor` lists cameras where numpy or OpenCV is missing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketsight.device.camera.base import Camera, Frame
    from pocketsight.device.camera.factory import SOURCE_HELP, open_camera
    from pocketsight.device.camera.live import LiveCamera

__all__ = ["SOURCE_HELP", "Camera", "Frame", "LiveCamera", "open_camera"]

MODULES = {"Camera": "base", "Frame": "base", "LiveCamera": "live", "SOURCE_HELP": "factory", "open_camera": "factory"}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
