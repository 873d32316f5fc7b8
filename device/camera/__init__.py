"""Frames, from a Pi camera, a webcam, a stream, a video file or pictures, or drawn ones."""

from pocketsight.device.camera.base import Camera, Frame
from pocketsight.device.camera.factory import SOURCE_HELP, open_camera
from pocketsight.device.camera.live import LiveCamera
from pocketsight.device.faults import FaultReporter

__all__ = ["SOURCE_HELP", "Camera", "FaultReporter", "Frame", "LiveCamera", "open_camera"]
