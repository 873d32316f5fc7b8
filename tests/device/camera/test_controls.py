"""What a camera is asked for: controls, formats, rates; by stand-ins for picamera2, V4L2 and its capture."""

import errno
import itertools
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pocketsight.device.camera import LiveCamera, live, open_camera, v4l2
from pocketsight.device.camera.options import CameraOptions
from pocketsight.device.errors import CameraError
from pocketsight.device.vision.image import Image, encode_jpeg, to_rgb
from pocketsight.device.vision.turn import Turn
from tests.support.cameras import FaultRecorder, stand_in_for_picamera2, take
from tests.support.videos import corner_scene, corners

MODULE_3 = {"AfMode": (0, 2, 0), "LensPosition": (0.0, 32.0, 1.0), "AnalogueGain": (1.0, 16.0, 1.0)}
CONTROLS = MODULE_3 | {
    "AeEnable": (False, True, True),
    "ColourGains": ((0.0, 0.0), (32.0, 32.0), None),
    "AwbMode": (0, 7, 0),
}


def asked(folder: Path, monkeypatch: pytest.MonkeyPatch, options: CameraOptions, **state: Any) -> dict[str, Any]:
    """What the stand-in for picamera2 was asked for, by call."""
    module = stand_in_for_picamera2(folder, monkeypatch, **state)
    with open_camera("pi", options=options) as camera:
        frame = next(iter(camera))
    return {**{call[0]: call[1] for call in module.calls if len(call) > 1}, "size": frame.size}


def test_a_lens_that_can_focus_does_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(tmp_path, monkeypatch, CameraOptions(), controls=MODULE_3)["controls"] == {"AfMode": 2}
    own = CameraOptions(controls=(("LensPosition", "2.5"),))
    assert asked(tmp_path, monkeypatch, own, controls=MODULE_3)["controls"] == {"LensPosition": 2.5}
    assert "controls" not in asked(tmp_path, monkeypatch, CameraOptions(), controls={"AnalogueGain": (1.0, 16.0, 1.0)})


def test_controls_of_the_pi_camera_are_numbers_names_and_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("AeEnable", "false"), ("ColourGains", "1.5, 1.25"), ("AwbMode", "Daylight"), ("AfMode", "0")
    options = CameraOptions(controls=wanted, frame_rate=15.0, tuning_file="imx219_noir.json")
    found = asked(tmp_path, monkeypatch, options, controls=CONTROLS)
    set_controls = {"AeEnable": False, "ColourGains": (1.5, 1.25), "AwbMode": 5, "AfMode": 0, "FrameRate": 15.0}
    assert found["controls"] == set_controls
    assert found["tuning"] == {"file": "imx219_noir.json", "dir": None}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            CameraOptions(controls=(("AnalogGain", "2"),)),
            "'AnalogGain'; did you mean AnalogueGain.*LensPosition",
        ),
        (CameraOptions(controls=(("AnalogueGain", "99"),)), "out of range: this camera takes 1.0 to 16.0"),
        (CameraOptions(controls=(("AnalogueGain", "much"),)), "must be a number, true, false or a name of libcamera"),
        (CameraOptions(tuning_file="nothing.json"), "the tuning file 'nothing.json' cannot be read"),
    ],
)
def test_what_the_pi_camera_does_not_have_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: CameraOptions, says: str
) -> None:
    with pytest.raises(CameraError, match=says):
        asked(tmp_path, monkeypatch, options, controls=MODULE_3)


@pytest.mark.parametrize(
    ("turn", "transform", "size"),
    [
        (Turn(180), {"hflip": 1, "vflip": 1}, (480, 640)),
        (Turn(0, True), {"hflip": 1, "vflip": 0}, (480, 640)),
        (Turn(180, True), {"hflip": 0, "vflip": 1}, (480, 640)),
        (Turn(90), None, (640, 480)),
        (Turn(), None, (480, 640)),
    ],
)
def test_libcamera_turns_what_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: Turn, transform: dict[str, int] | None, size: tuple[int, int]
) -> None:
    found = asked(tmp_path, monkeypatch, CameraOptions(turn))
    given = found["configure"].get("transform")
    assert (given and vars(given)) == transform and found["size"] == size


class Capture:
    """A V4L2 camera as OpenCV shows it: images by FOURCC, with as many colors as its format can have."""

    bandwidth = 10**9  # pixels of a raw image that the hub can carry
    formats = "YUYV", "MJPG"
    made: "list[Capture]" = []  # noqa: RUF012
    damaged = False

    def __init__(self, *_: object) -> None:
        self.values: dict[int, float] = {
            cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV"),
            cv2.CAP_PROP_CONVERT_RGB: 1,
        }
        self.numbers = itertools.count()
        self.decoded = 0
        Capture.made.append(self)

    @property
    def fourcc(self) -> str:
        return int(self.values[cv2.CAP_PROP_FOURCC]).to_bytes(4, "little").decode()

    def set(self, name: int, value: float) -> bool:
        if name == cv2.CAP_PROP_FOURCC and int(value).to_bytes(4, "little").decode() not in self.formats:
            return False
        self.values[name] = value
        return True

    def get(self, name: int) -> float:
        return self.values.get(name, 0.0)

    def isOpened(self) -> bool:
        return True

    def release(self) -> None:
        """Nothing."""

    def grab(self) -> bool:
        self.number = next(self.numbers)
        threading.Event().wait(0.005)
        pixels = self.get(cv2.CAP_PROP_FRAME_HEIGHT) * self.get(cv2.CAP_PROP_FRAME_WIDTH)
        return self.fourcc == "MJPG" or pixels <= self.bandwidth

    def retrieve(self) -> tuple[bool, np.ndarray[Any, Any]]:
        height, width = int(self.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(self.get(cv2.CAP_PROP_FRAME_WIDTH))
        scene = corner_scene((height, width))
        scene[-8:, :8] = self.number % 200
        if self.get(cv2.CAP_PROP_CONVERT_RGB):
            self.decoded += 1
            return True, to_rgb(scene)
        if self.fourcc == "MJPG":
            data = encode_jpeg(scene)
            return True, np.frombuffer(data[: len(data) // 2] if self.damaged else data, np.uint8).reshape(1, -1)
        return True, to_yuyv(scene)


def to_yuyv(image: Image) -> Image:
    height, width = image.shape[:2]
    planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), np.uint8)
    blue, red = planes[height:].reshape(2, height // 2, width // 2).repeat(2, axis=1)
    raw = np.empty((height, width, 2), np.uint8)
    raw[..., 0], raw[:, ::2, 1], raw[:, 1::2, 1] = planes[:height], blue, red
    return raw


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[Capture]:
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(Capture, "made", [])
    return Capture


def local(size: tuple[int, int] = (480, 640), **options: Any) -> Capture:
    """Read two frames of the stand-in; /dev/null may be opened by anybody."""
    with open_camera("/dev/null", size, options=CameraOptions(**options)) as camera:
        assert isinstance(camera, LiveCamera)
        for frame in take(camera, lambda frames: len(frames) >= 2):
            assert frame.size == size and corners(frame.image) == "rb--" and corners(frame.reduced(4)) == "rb--"
    (one,) = Capture.made
    return one


def test_large_images_are_asked_for_as_jpeg_and_small_ones_as_they_come(capture: type[Capture]) -> None:
    assert local().fourcc == "YUYV"
    capture.made.clear()
    assert local((720, 1280)).fourcc == "MJPG"
    capture.made.clear()
    assert local((720, 1280), pixel_format="yuyv").fourcc == "YUYV"


def test_a_hub_without_bandwidth_for_raw_images(capture: type[Capture], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "bandwidth", 1000)
    assert local().fourcc == "MJPG"


def test_a_format_that_is_missing_is_an_error_that_lists_what_there_is(capture: type[Capture]) -> None:
    with pytest.raises(CameraError, match="does not give H264 at 640x480 pixels; it has YUYV"):
        local(pixel_format="H264")


def test_frames_that_are_dropped_are_not_decoded(capture: type[Capture]) -> None:
    with open_camera("/dev/null", (720, 1280)) as camera:
        threading.Event().wait(0.3)
        frame = next(iter(camera))
        assert camera.dropped > 3 and capture.made[0].decoded == 0
        assert frame.decode_ms > 0  # the one that was taken


def test_a_camera_whose_images_are_all_damaged_is_a_fault(
    capture: type[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "damaged", True)
    monkeypatch.setattr(live, "DEFAULT_RECONNECT_CONFIG", live.ReconnectConfig(frame_timeout=0.5, first_delay=0.1))
    faults = FaultRecorder()
    with open_camera("/dev/null", (720, 1280), None, faults, True) as camera:
        assert isinstance(camera, LiveCamera)
        assert take(camera, lambda frames: bool(faults.faults)) == []
        monkeypatch.setattr(capture, "damaged", False)
        take(camera, lambda frames: len(frames) > 1)
    assert faults.faults == [("camera unreadable", True), ("camera unreadable", False)]
    assert "damaged or truncated JPEGs" in faults.details[0]


MENU = {0: b"Auto Mode", 1: b"Manual Mode"}
V4L2_CONTROLS = {  # id: name, type, minimum, maximum
    0x980900: (b"Brightness", 1, 0, 255),
    0x98090C: (b"White Balance, Automatic", v4l2.BOOLEAN, 0, 1),
    0x9A0901: (b"Auto Exposure", v4l2.MENU, 0, 1),
}


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """A kernel that answers for a camera; returns the values that are set."""
    values: dict[int, int] = {}

    def ioctl(device: int, request: int, argument: Any) -> int:
        if request == v4l2.VIDIOC_S_CTRL:
            number, value = v4l2.V4L2_CONTROL.unpack(argument)
            values[number] = value
            return 0
        if request == v4l2.VIDIOC_QUERYCTRL:
            last = v4l2.V4L2_QUERYCTRL.unpack(argument)[0] & ~v4l2.V4L2_CTRL_FLAG_NEXT_CTRL
            number = min((each for each in V4L2_CONTROLS if each > last), default=0)
            if number:
                name, kind, low, high = V4L2_CONTROLS[number]
                argument[:] = v4l2.V4L2_QUERYCTRL.pack(number, kind, name, low, high, 1, 0, 0)
                return 0
        if request == v4l2.VIDIOC_QUERYMENU:
            number, index, _, _ = v4l2.V4L2_QUERYMENU.unpack(argument)
            argument[:] = v4l2.V4L2_QUERYMENU.pack(number, index, MENU[index], 0)
            return 0
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    return values


def test_controls_of_a_v4l2_camera(capture: type[Capture], driver: dict[int, int]) -> None:
    wanted = ("brightness", "60"), ("white_balance_automatic", "false"), ("auto_exposure", "manual mode")
    local(controls=wanted)
    assert driver == {0x980900: 60, 0x98090C: 0, 0x9A0901: 1}


@pytest.mark.parametrize(
    ("control", "says"),
    [
        (
            ("brightnes", "1"),
            r"'brightnes'; did you mean brightness\? it has brightness \(0 to 255\), white",
        ),
        (("brightness", "999"), r"brightness=999 is not possible; this camera has brightness \(0 to 255\)"),
        (("auto_exposure", "maybe"), r"auto_exposure \(auto_mode\|manual_mode\)"),
    ],
)
def test_what_a_v4l2_camera_does_not_have_is_an_error(
    capture: type[Capture], driver: dict[int, int], control: tuple[str, str], says: str
) -> None:
    with pytest.raises(CameraError, match=says):
        local(controls=(control,))
