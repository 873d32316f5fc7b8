"""Cameras for tests: functions in place of devices, and servers that can be killed and started again."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np

from pocketsight.device.camera.base import Frame
from pocketsight.device.camera.capture_thread import CameraSource, CaptureDevice, RawFrame
from pocketsight.device.camera.live import LiveCamera, ReconnectConfig
from pocketsight.device.vision.image import Image
from tests.support.processes import running

QUICK = ReconnectConfig(
    frame_timeout=0.8, open_timeout=1.0, first_delay=0.05, max_delay=0.4, release_timeout=0.1
)  # seconds; so that tests need no patience
Read = Callable[[], Image | None]


class FaultRecorder:
    """Faults in the order in which they were reported."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, bool]] = []
        self.details: list[str] = []

    def __call__(self, fault: str, active: bool, detail: str) -> None:
        assert "\n" not in detail
        self.faults.append((fault, active))
        self.details.append(detail)


def source(*openings: Callable[[], Read], name: str = "test", **options: Any) -> CameraSource:
    """A camera whose n-th opening calls the n-th of `openings`, the last one again and again."""
    count = 0

    @contextmanager
    def opened() -> Iterator[CaptureDevice]:
        nonlocal count
        read = openings[min(count, len(openings) - 1)]
        count += 1
        images = read()

        def shot() -> RawFrame | None:
            image = images()
            return None if image is None else RawFrame(image)

        yield CaptureDevice(shot)

    return CameraSource(name, opened, **options)


def live_camera(read: Read, stop: threading.Event, name: str = "test", **options: Any) -> LiveCamera:
    """A camera that is opened once."""
    return LiveCamera(source(lambda: read, name=name), stop, **options)


def noise(size: tuple[int, int] = (48, 64), pause: float = 0.01) -> Read:
    """A camera that works: no two of its pictures are the same."""
    rng = np.random.default_rng()

    def read() -> Image:
        time.sleep(pause)
        return rng.integers(0, 256, (*size, 3)).astype(np.uint8)

    return read


def take(camera: LiveCamera, enough: Callable[[list[Frame]], bool], seconds: float = 20) -> list[Frame]:
    """Frames until there are enough of them, as a loop takes them; no call may take long."""
    frames: list[Frame] = []
    end = time.monotonic() + seconds
    while not enough(frames):
        assert time.monotonic() < end, f"waited in vain, with {len(frames)} frames"
        before = time.monotonic()
        if (frame := camera.read(0.05)) is not None:
            frames.append(frame)
        assert time.monotonic() - before < 2  # never blocks, whatever the camera does
    return frames


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


MJPEG = """
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import cv2, numpy as np
port, count = int(sys.argv[1]), int(sys.argv[2])
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
        self.end_headers()
        rng = np.random.default_rng(0)
        for _ in range(count):
            good, jpeg = cv2.imencode(".jpg", rng.integers(0, 256, (48, 64, 3)).astype(np.uint8))
            self.wfile.write(b"--f\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(jpeg))
            self.wfile.write(jpeg.tobytes() + b"\\r\\n")
            time.sleep(0.04)
    def log_message(self, *args):
        pass
server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
print("ready", flush=True)
server.serve_forever()
"""

RTSP = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer.new()
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory.new()
factory.set_launch(
    "( videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=30/1 ! videoconvert "
    "! video/x-raw,format=I420 ! jpegenc ! rtpjpegpay name=pay0 pt=26 )"
)
factory.set_shared(True)
server.get_mount_points().add_factory("/test", factory)
assert server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""


@contextmanager
def _serving(words: list[str]) -> Iterator[Popen[str]]:
    with running(words, stdout=PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield process


@contextmanager
def mjpeg_server(port: int, count: int = 10**9) -> Iterator[str]:
    """A camera that sends JPEGs over HTTP, `count` to each who asks; gives its address, ends with its `with`."""
    with _serving([sys.executable, "-c", MJPEG, str(port), str(count)]):
        yield f"http://127.0.0.1:{port}/stream.mjpg"


@contextmanager
def rtsp_server(port: int) -> Iterator[str]:
    """A camera that speaks RTSP, by Debian's gst-rtsp-server."""
    with _serving(["/usr/bin/python3", "-c", RTSP, str(port)]):
        yield f"rtsp://127.0.0.1:{port}/test"


PICAMERA2 = '''"""What of picamera2 we call, as it behaves: formats named backwards, RuntimeError, a job that waits."""
import pathlib, time, numpy
SENSOR = (3280, 2464)
calls = []
state = {"cameras": 1, "busy": False, "frames": 10**9, "stamp": None, "held": 0, "released": 0, "controls": {}}
def mode():  # what a test wants it to do now
    file = pathlib.Path(__file__).with_name("mode")
    return file.read_text() if file.exists() else "well"
class Request:
    def __init__(self, size, form, number):
        state["held"] += 1
        self.size, self.form = size, form
        self.stamp = state["stamp"] or time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 50_000_000
        self.level = number % 40
    def make_array(self, name):
        assert name == "main"
        red = 200, 20 + self.level, 40  # the scene is red
        order = {"BGR888": (0, 1, 2), "RGB888": (2, 1, 0)}[self.form]
        return numpy.full((self.size[1], self.size[0], 3), [red[channel] for channel in order], numpy.uint8)
    def get_metadata(self): return {"SensorTimestamp": self.stamp}
    def release(self): state["released"] += 1
class Picamera2:
    sensor_resolution = SENSOR
    @staticmethod
    def global_camera_info():
        usb = {"Model": "HD Webcam", "Id": "/base/scb/pcie@7d500000/usb@0,0-1.3:1.0-046d:0825", "Num": 9}
        return [{"Model": "imx219", "Id": f"/base/soc/i2c0mux/i2c@1/imx219@1{n}", "Num": n}
                for n in range(state["cameras"])] + [usb]
    def __init__(self, camera_num=0, tuning=None):
        calls.append(("open", camera_num))
        if mode() == "gone": raise RuntimeError("no cameras available")
        if camera_num >= state["cameras"]: raise IndexError("list index out of range")
        self.number = 0
        if tuning is not None: calls.append(("tuning", tuning))
        self.camera_controls = state["controls"]
    @staticmethod
    def load_tuning_file(tuning_file, dir=None):
        if not tuning_file.startswith("imx"): raise RuntimeError("Tuning file not found")
        return {"file": tuning_file, "dir": dir}
    def create_video_configuration(self, main, raw=None, buffer_count=6, **more):
        return {"main": main, "raw": raw, "buffer_count": buffer_count, **more}
    def set_controls(self, controls):
        if controls: calls.append(("controls", controls))
    def configure(self, configuration):
        calls.append(("configure", configuration))
        if state["busy"]: raise RuntimeError("Failed to acquire camera: Device or resource busy")
        self.main = configuration["main"]
    def start(self): calls.append(("start",))
    def capture_request(self, wait=None):
        time.sleep(0.01)
        behavior = mode()
        if behavior == "blocks": time.sleep(3600)
        if behavior == "nothing": raise TimeoutError()
        if behavior == "gone": raise RuntimeError("the ribbon is out")
        self.number += 1
        if self.number > state["frames"]:
            time.sleep(min(wait, 0.1))
            raise TimeoutError()
        return Request(self.main["size"], self.main["format"], 7 if behavior == "stale" else self.number)
    def stop(self): calls.append(("stop",))
    def close(self): calls.append(("close",))
'''


LIBCAMERA = """
class Transform:
    def __init__(self, hflip=0, vflip=0): self.hflip, self.vflip = int(hflip), int(vflip)
    def __eq__(self, other): return vars(self) == vars(other)
class controls:
    class AwbModeEnum: Auto, Daylight = 0, 5
    class HdrModeEnum: Off, SingleExposure = 0, 4
"""


def stand_in_for_picamera2(folder: Path, monkeypatch: Any, **state: Any) -> Any:
    """picamera2 comes by apt on a Pi; elsewhere this module is imported in its place, and returned."""
    folder.joinpath("picamera2.py").write_text(PICAMERA2)
    folder.joinpath("libcamera.py").write_text(LIBCAMERA)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(sys.modules, "libcamera", None)
    del sys.modules["libcamera"]
    monkeypatch.setitem(sys.modules, "picamera2", None)  # so that the test leaves none behind
    del sys.modules["picamera2"]
    import picamera2

    picamera2.state.update(state)
    return picamera2
