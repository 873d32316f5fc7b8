import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketsight.device.camera import Frame, open_camera
from pocketsight.device.errors import CameraError, DataError
from pocketsight.device.system.urls import redact_url
from pocketsight.device.vision.image import Image
from tests.support.cameras import QUICK, free_port, live_camera, mjpeg_server
from tests.support.images import picture

SIZE = 480, 640


def frames(source: str, stop: threading.Event | None = None) -> list[Frame]:
    with open_camera(source, SIZE, stop or threading.Event()) as camera:
        return list(camera)


def video(path: Path, count: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12, (64, 48))
    for number in range(count):
        writer.write(np.full((48, 64, 3), (10 * number, 0, 0), np.uint8))  # blue, in OpenCV's order
    writer.release()
    return path


def test_a_folder_gives_its_pictures_in_order_with_their_names(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        picture(tmp_path / name)
    found = frames(str(tmp_path))
    assert [(f.index, Path(f.source or "").name, f.image.shape) for f in found] == [
        (0, "a.png", (60, 80, 3)),
        (1, "b.png", (60, 80, 3)),
    ]


def test_a_video_is_read_whole_in_rgb(tmp_path: Path) -> None:
    found = frames(str(video(tmp_path / "v.mp4", 20)))
    assert [f.index for f in found] == list(range(20))
    red, _, blue = found[15].image.reshape(-1, 3).mean(0)
    assert blue > 100 > red


def test_a_damaged_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"a\.png"):
        frames(str(tmp_path))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("99", "no camera '99'"),
        ("nowhere", "no camera 'nowhere'; a source is"),
        ("http://127.0.0.1:9/x", "cannot be opened"),
        ("pi", "picamera2 is not available"),
        ("pi:x", "Pi cameras are pi and pi:1"),
        ("auto", "no camera found"),
        ("synthetic:64", "use synthetic"),
        ("synthetic:8x8", "32 to 4096 pixels"),
    ],
)
def test_no_camera_is_one_line_with_a_cure(source: str, says: str) -> None:
    with pytest.raises(CameraError, match=says) as raised:
        frames(source)
    assert "\n" not in str(raised.value)


def test_a_folder_without_pictures_and_a_file_that_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="contains no images"):
        frames(str(tmp_path))
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(CameraError, match="cannot be opened as a video"):
        frames(str(tmp_path / "x.mp4"))


def numbered(limit: int, pause: float) -> Callable[[], Image | None]:
    """A camera that gives pictures whose first pixel counts, then nothing."""
    numbers = iter(range(limit))

    def read() -> Image | None:
        time.sleep(pause)
        number = next(numbers, None)
        return None if number is None else np.full((2, 2, 3), number, np.uint8)

    return read


def test_a_slow_reader_gets_the_newest_frame_and_the_others_are_counted() -> None:
    stop = threading.Event()
    seen, late = [], []
    with live_camera(numbered(200, 0.005), stop) as camera:
        for frame in camera:
            seen.append(frame.index)
            late.append(time.monotonic() - frame.captured_monotonic)
            assert frame.image[0, 0, 0] == frame.index
            time.sleep(0.1)
            if len(seen) == 4:
                stop.set()
    gaps = np.diff(seen)
    assert (gaps > 1).all()  # no queue of old frames
    assert camera.dropped >= sum(gaps) - len(gaps)
    assert np.median(late) < 0.05


def test_a_camera_that_vanishes_is_an_error_after_its_last_frame() -> None:
    seen: list[int] = []
    with (
        pytest.raises(CameraError, match="camera '0' stopped giving frames after 3"),
        live_camera(numbered(3, 0.05), threading.Event(), name="camera '0'") as camera,
    ):
        seen.extend(frame.index for frame in camera)
    with pytest.raises(CameraError, match="stopped giving frames after 3"):
        list(camera)


def test_a_camera_library_that_raises_is_told_in_one_line() -> None:
    def read() -> Image | None:
        raise RuntimeError("the cable is gone")

    with (
        pytest.raises(CameraError, match=r"stopped giving frames after 0 \(the cable is gone\)"),
        live_camera(read, threading.Event()) as camera,
    ):
        list(camera)


def hang(until: threading.Event) -> Callable[[], Image | None]:
    """A camera whose read does not come back."""

    def read() -> Image | None:
        until.wait()
        return None

    return read


def test_a_camera_that_hangs_is_an_error_after_its_deadline() -> None:
    never = threading.Event()
    camera = live_camera(hang(never), threading.Event(), config=QUICK)
    with pytest.raises(CameraError, match="gave no frame"):
        list(camera)
    never.set()
    camera.close()


def test_a_stop_ends_a_camera_that_waits() -> None:
    stop, never = threading.Event(), threading.Event()
    threading.Timer(0.2, stop.set).start()
    camera = live_camera(hang(never), stop)
    assert list(camera) == []
    never.set()
    camera.close()


def test_a_network_camera_is_read_until_it_vanishes() -> None:
    seen = []
    with (
        mjpeg_server(free_port(), count=8) as address,
        pytest.raises(CameraError, match="stopped giving frames"),
        open_camera(address, SIZE, threading.Event()) as camera,
    ):
        for frame in camera:
            seen.append(frame.image.shape)
    assert len(seen) >= 3 and set(seen) == {(48, 64, 3)}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://host:554/live", "rtsp://host:554/live"),
        ("rtsp://me:secret@host/live", "rtsp://***@host/live"),
        ("rtsp://me:se/c@r?et@host/live", "rtsp://***@host/live"),
        ("http://host/video.cgi?user=me&pwd=secret", "http://host/video.cgi?***"),
        ("0", "0"),
        ("clip@home.mp4", "clip@home.mp4"),
    ],
)
def test_an_address_is_shown_without_secrets(address: str, shown: str) -> None:
    assert redact_url(address) == shown


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_password_is_never_shown_by_us_or_by_a_library(scheme: str) -> None:
    """In a process of its own: libraries write past Python."""
    source = f"{scheme}://me:se%20cret@127.0.0.1:{free_port()}/live?key=secret"
    code = "import sys; from pocketsight.device.cli.camera import camera; camera(['test', sys.argv[1]])"
    done = subprocess.run([sys.executable, "-c", code, source], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and f"{scheme}://***@127.0.0.1" in done.stderr
    assert "cret" not in done.stdout + done.stderr
