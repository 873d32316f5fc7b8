"""Frames, from a Pi camera, a webcam, a stream, a video file or pictures, or drawn ones."""

from pocketsight.device.camera.frame import Camera, FaultReporter, Frame
from pocketsight.device.camera.live import LiveCamera
from pocketsight.device.camera.opened import SOURCE_HELP, open_camera

__all__ = ["SOURCE_HELP", "Camera", "FaultReporter", "Frame", "LiveCamera", "open_camera"]
