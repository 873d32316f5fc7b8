"""Addresses of cameras, as real servers answer: streams, single images, web pages, refusals, and damaged data."""

import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from pocketsight.device.camera import LiveCamera, open_camera
from pocketsight.device.camera.jpeg_stream import JpegStream
from pocketsight.device.camera.options import CameraOptions
from pocketsight.device.errors import CameraError
from pocketsight.device.vision.image import encode_jpeg
from pocketsight.device.vision.turn import Turn
from tests.support.cameras import QUICK, FaultRecorder, source, take
from tests.support.videos import corner_scene, corners

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):  # the reader has left
                answer(self)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}/camera"
    finally:
        httpd.shutdown()
        httpd.server_close()


def reply(handler: BaseHTTPRequestHandler, kind: str, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def noisy_jpeg(number: int = 0) -> bytes:
    noise = np.random.default_rng(number).integers(0, 30, (96, 128, 3)).astype(np.uint8)
    return encode_jpeg(np.asarray(cv2.add(corner_scene(), noise), np.uint8))


def read(address: str, number: int, options: CameraOptions = CameraOptions()) -> list[str]:  # noqa: B008 - frozen
    with open_camera(address, options=options) as camera:
        assert isinstance(camera, LiveCamera)
        return [corners(frame.image) for frame in take(camera, lambda frames: len(frames) >= number)]


def test_an_address_of_single_images_is_asked_again_at_the_rate() -> None:
    times: list[float] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        times.append(time.monotonic())
        reply(handler, "image/jpeg", noisy_jpeg(len(times)))

    with server(answer) as address:
        assert read(address, 3, CameraOptions(Turn(180), poll_rate=10)) == ["--rb"] * 3
    steps = np.diff(times[1:])  # the first request shows what it is
    assert len(steps) >= 2 and steps.min() > 0.08


@pytest.mark.parametrize(
    ("kind", "status", "says"),
    [
        ("text/html; charset=utf-8", 200, "sends a web page, not video; use the address of its stream"),
        ("application/json", 200, "sends text of the type application/json, not video"),
        ("text/html", 404, "answers 404 Not Found; is the path of the address right"),
        ("text/html", 401, r"refuses access \(401\): user or password is wrong"),
        ("text/html", 403, r"refuses access \(403\)"),
        ("text/html", 503, "answers 503"),
    ],
)
def test_what_is_not_video_gets_its_own_words(kind: str, status: int, says: str) -> None:
    with (
        server(lambda handler: reply(handler, kind, b"<html></html>", status)) as address,
        pytest.raises(CameraError, match=says) as raised,
        open_camera(address.replace("//", "//me:se%20cret@")),
    ):
        pass
    assert "cret" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_a_password_opens_and_a_wrong_one_says_so(password: str) -> None:
    wanted = "Basic " + b64encode(b"me:right").decode()
    asked: list[bool] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append("Authorization" in handler.headers)
        if handler.headers.get("Authorization") != wanted:
            return reply(handler, "text/plain", b"", 401, WWW_Authenticate='Basic realm="camera"')
        return reply(handler, "image/jpeg", noisy_jpeg())

    with server(answer) as address:
        address = address.replace("//", f"//me:{password}@")
        if password == "right":
            assert read(address, 2, CameraOptions(poll_rate=20)) == ["rb--"] * 2
            assert asked.count(False) == 1, "only the first request is without the password"
        else:
            with pytest.raises(CameraError, match="user or password is wrong"), open_camera(address):
                pass


HEAD = "--f\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
MALFORMED = {
    "as it should be": HEAD,
    "without a length": "--f\r\nContent-Type: image/jpeg\r\n\r\n",
    "with a wrong length": HEAD.replace("{length}", "7"),
    "without headers": "--f\r\n\r\n",
    "with bare line feeds": HEAD.replace("\r\n", "\n"),
    "without boundaries": "",
    "with another boundary": HEAD.replace("--f", "----other"),
}


@pytest.mark.parametrize("form", MALFORMED)
def test_a_stream_is_read_whatever_its_headers_say(form: str) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, "multipart/x-mixed-replace; boundary=f", b"")
        for number in range(50):
            jpeg = noisy_jpeg(number)
            handler.wfile.write(MALFORMED[form].replace("{length}", str(len(jpeg))).encode() + jpeg + b"\r\n")
            time.sleep(0.02)

    with server(answer) as address:
        assert set(read(address, 4)) == {"rb--"}


def test_a_multipart_stream_without_images_says_so() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, "multipart/x-mixed-replace; boundary=f", b"--f\r\nContent-Type: text/plain\r\n\r\nno camera\r\n")

    with (
        server(answer) as address,
        pytest.raises(CameraError, match="sends a multipart stream without complete JPEG images"),
        open_camera(address) as camera,
    ):
        list(camera)


def test_the_frames_of_a_server_are_turned_as_their_exif_says() -> None:
    from io import BytesIO

    from PIL import Image as Pillow

    exif, file = Pillow.Exif(), BytesIO()
    exif[0x0112] = 8
    Pillow.fromarray(corner_scene()).save(file, "JPEG", exif=exif)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        reply(
            handler,
            "multipart/x-mixed-replace; boundary=f",
            b"--f\r\n\r\n" + 9 * (file.getvalue() + b"\r\n--f\r\n\r\n"),
        )
        time.sleep(1)

    with server(answer) as address:
        assert read(address, 1) == ["b--r"]


def test_truncated_and_embedded_images_are_told_apart() -> None:
    whole, other = noisy_jpeg(1), noisy_jpeg(2)
    with_thumbnail = whole[:2] + b"\xff\xe1" + (len(other) + 2).to_bytes(2, "big") + other + whole[2:]
    data = b"junk\xff\xd8" + whole[: len(whole) // 2] + b"--f\r\n" + with_thumbnail + b"\r\n" + other + whole[:99]
    for size in (1, 7, 4096, len(data)):
        stream = JpegStream()
        found = [jpeg for at in range(0, len(data), size) for jpeg in stream.feed(data[at : at + size])]
        assert found == [with_thumbnail, other], size


def test_one_color_from_the_first_frame_on_is_a_fault_that_stays() -> None:
    """A decoder of the network that leaves its images unwritten."""
    black, faults = np.zeros((48, 64, 3), np.uint8), FaultRecorder()

    def shows() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        time.sleep(0.01)
        return black

    camera = LiveCamera(
        source(lambda: shows, freeze_timeout=0.3, has_sensor_noise=False), threading.Event(), faults, True, QUICK
    )
    with camera:
        end = time.monotonic() + 3
        take(camera, lambda frames: time.monotonic() > end)
    assert faults.faults == [("camera frozen", True)]
