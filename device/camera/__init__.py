"""Frames, from a Pi camera, a webcam, a stream, a video file or pictures, or drawn ones."""

from pocketsight.device.camera.frame import Camera, Frame, Tell
from pocketsight.device.camera.live import LiveCamera
from pocketsight.device.camera.opened import HINT, open_camera

__all__ = ["HINT", "Camera", "Frame", "LiveCamera", "Tell", "open_camera"]
