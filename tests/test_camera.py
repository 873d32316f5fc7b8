import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgekit.device import camera as module
from edgekit.device.camera import LiveCamera, open_camera
from edgekit.device.cli import main
from edgekit.device.errors import CameraError, DataError
from edgekit.device.image import Image
from tests.pictures import picture

SIZE = 480, 640


def frames(source: str, stop: threading.Event | None = None) -> list[module.Frame]:
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
        ("pi", "picamera2 is not visible"),
    ],
)
def test_no_camera_is_one_line_with_a_cure(source: str, says: str) -> None:
    with pytest.raises(CameraError, match=says) as raised:
        frames(source)
    assert "\n" not in str(raised.value)


def test_a_folder_without_pictures_and_a_file_that_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="holds no pictures"):
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
    camera = LiveCamera("test", numbered(200, 0.005), stop)
    seen = []
    for frame in camera:
        seen.append(frame.index)
        assert frame.image[0, 0, 0] == frame.index
        time.sleep(0.1)
        if len(seen) == 4:
            stop.set()
    gaps = np.diff(seen)
    assert (gaps > 5).all()  # no queue of old frames
    assert camera.dropped >= sum(gaps) - len(gaps)


def test_a_camera_that_vanishes_is_an_error_after_its_last_frame() -> None:
    camera = LiveCamera("camera '0'", numbered(3, 0.05), threading.Event())
    seen: list[int] = []
    with pytest.raises(CameraError, match="camera '0' stopped giving frames after 3"):
        seen.extend(frame.index for frame in camera)
        list(camera)


def test_a_camera_library_that_raises_is_told_in_one_line() -> None:
    def read() -> Image | None:
        raise RuntimeError("the cable is gone")

    with pytest.raises(CameraError, match=r"stopped giving frames after 0 \(the cable is gone\)"):
        list(LiveCamera("test", read, threading.Event()))


def hang(until: threading.Event) -> Callable[[], Image | None]:
    """A camera whose read does not come back."""

    def read() -> Image | None:
        until.wait()
        return None

    return read


def test_a_camera_that_hangs_is_an_error_after_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.3)
    never = threading.Event()
    with pytest.raises(CameraError, match="gave no frame"):
        list(LiveCamera("test", hang(never), threading.Event()))
    never.set()


def test_a_stop_ends_a_camera_that_waits() -> None:
    stop, never = threading.Event(), threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert list(LiveCamera("test", hang(never), stop)) == []
    never.set()


@pytest.fixture
def mjpeg() -> Iterator[str]:
    """An MJPEG camera on the network that gives 8 frames and hangs up."""
    good, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 128, np.uint8))
    assert good

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
            self.end_headers()
            for _ in range(8):
                self.wfile.write(b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                self.wfile.write(jpeg.tobytes() + b"\r\n")
                time.sleep(0.05)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/stream.mjpg"
    server.shutdown()
    server.server_close()


def test_a_network_camera_is_read_until_it_vanishes(mjpeg: str) -> None:
    seen = []
    with (
        pytest.raises(CameraError, match="stopped giving frames"),
        open_camera(mjpeg, SIZE, threading.Event()) as camera,
    ):
        for frame in camera:
            seen.append(frame.image.shape)
    assert len(seen) >= 3 and set(seen) == {(48, 64, 3)}


def test_a_run_whose_camera_vanishes_ends_with_one_line_and_its_log_whole(mjpeg: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", "--camera", mjpeg, "--log", str(tmp_path / "log.jsonl")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: camera") and "stopped giving frames" in result.output
    assert len(result.output.splitlines()) == 1
    assert len([json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]) >= 1


def test_the_pi_camera_is_asked_for_red_green_blue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for picamera2, which comes by apt on a Pi: it records what it is asked and gives four frames."""
    (tmp_path / "picamera2.py").write_text(
        "import time, numpy\n"
        "calls = []\n"
        "class Picamera2:\n"
        "    def create_video_configuration(self, main): calls.append(main); return main\n"
        "    def configure(self, configuration): self.size = configuration['size']\n"
        "    def start(self): calls.append('start')\n"
        "    def capture_array(self, name):\n"
        "        time.sleep(0.01); return numpy.zeros((self.size[1], self.size[0], 3), numpy.uint8)\n"
        "    def stop(self): calls.append('stop')\n"
        "    def close(self): calls.append('close')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    stop = threading.Event()
    with open_camera("pi", SIZE, stop) as camera:
        for frame in camera:
            assert frame.image.shape == (480, 640, 3)
            if frame.index > 3:
                stop.set()
    import picamera2

    assert picamera2.calls == [{"size": (640, 480), "format": "BGR888"}, "start", "stop", "close"]
