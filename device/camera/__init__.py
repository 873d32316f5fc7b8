"""Camera sources: a Pi camera, USB and network cameras, video files, images, and a synthetic camera."""

from pocketsight.device.camera.base import Camera, Frame
from pocketsight.device.camera.factory import SOURCE_HELP, open_camera
from pocketsight.device.camera.live import LiveCamera

__all__ = ["SOURCE_HELP", "Camera", "Frame", "LiveCamera", "open_camera"]
