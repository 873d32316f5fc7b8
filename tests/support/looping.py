"""A loop that shows drawn faces, to see what it shows: the real server, without cameras and models."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.inference.classifier import UNSURE, Classification
from pocketsight.device.results import LOG_SCHEMA_VERSION, FaceResult, FrameResult, LogEntry, iso_timestamp
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from pocketsight.device.web.server import WebServer, serve

LABELS = "happy", "sad"
NAMES = "happy", "sad", UNSURE, "happy", "sad"
STAGES_MS = {
    "wait": 20.0,
    "preprocess": 0.4,
    "detect": 14.2,
    "postprocess": 0.8,
    "track": 0.2,
    "crop": 0.3,
    "classify": 2.9,
    "total": 18.9,
}
Response = tuple[int, dict[str, str], bytes]


@dataclass
class Loop:
    """Shows `rate` frames a second with `faces` faces while it is not `paused`."""

    state: RunStatus
    web: WebServer
    faces: int = 1
    rate: float = 30.0
    frames: int = 0
    took: list[float] = field(default_factory=list)  # seconds that each call of show took
    paused: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """In a thread, as the real one in the main thread."""
        while not self.stop.wait(1 / self.rate):
            if not self.paused:
                image, record = frame(self.frames), seen(self.frames, self.faces)
                self.state.add_frame(record, 0.03)
                begun = time.perf_counter()
                self.web.update(image, record)
                self.took.append(time.perf_counter() - begun)
                self.frames += 1

    def publish(self, event: str, kind: str = "face", **more: object) -> None:
        """An event."""
        entry: LogEntry = {
            "v": LOG_SCHEMA_VERSION,
            "kind": kind,
            "id": f"{self.state.run_id}-{self.frames}",
            "time": iso_timestamp(time.time()),
        }
        self.state.add_event({**entry, "event": event, **more})


def boxes(count: int) -> list[Box]:
    """Where the faces are, in pixels of a frame."""
    return [Box(60 + 110 * n, 150, 140 + 110 * n, 250) for n in range(count)]


def seen(number: int, faces: int = 1, born: float | None = None, source: str | None = None) -> FrameResult:
    """A record of so many faces, side by side; each is followed unless frames are pictures."""
    found = [
        FaceResult(box, 0.9 - n / 20, Classification(NAMES[n % 5], 0.97 - n / 10, 0), None if source else n + 1)
        for n, box in enumerate(boxes(faces))
    ]
    return FrameResult(time.time(), time.monotonic() if born is None else born, number, source, found, dict(STAGES_MS))


def frame(number: int, size: tuple[int, int] = (480, 640)) -> Image:
    """Stripes and a disc that moves."""
    image = np.full((*size, 3), (40, 60, 90), np.uint8)
    image[:, ::8] = (230, 200, 120)
    cv2.circle(image, (20 + 7 * number % (size[1] - 40), size[0] - 60), 15, (255, 255, 0), -1)
    return image


def decoded(jpeg: bytes) -> Image:
    found = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert found is not None
    return np.asarray(found, np.uint8)


@contextmanager
def looping(
    token_file: Path | None = None,
    address: str = "127.0.0.1:0",
    blur: bool = False,
    faces: int = 1,
    frame_origins: tuple[str, ...] = (),
) -> Iterator[Loop]:
    """A server and a loop that feeds it, both ended at the end."""
    with ExitStack() as stack:
        state = RunStatus("20261122T041500Z-a3f2", LABELS)
        served = serve(address, token_file, state, blur, frame_origins=frame_origins)
        loop = Loop(state, stack.enter_context(served), faces)
        thread = threading.Thread(target=loop.run)
        thread.start()
        try:
            yield loop
        finally:
            loop.stop.set()
            thread.join()


def ask(web: WebServer, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Response:
    """One request as it is written, and the whole answer; names of headers in small letters."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@contextmanager
def watching(web: WebServer, headers: dict[str, str] | None = None) -> Iterator[Callable[[], bytes]]:
    """A viewer of the stream: each call gives the next picture."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    try:
        connection.request("GET", "/stream.mjpg", headers=headers or {})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()

        def picture() -> bytes:
            length = 0
            while (line := answer.readline().strip()) or not length:
                name, _, value = line.partition(b":")
                length = int(value) if name == b"Content-Length" else length
            return answer.read(length)

        yield picture
    finally:
        connection.close()


def raw(loop: Loop, data: bytes, seconds: float = 5) -> bytes:
    """Send bytes as they are, and read what comes until the end or for so long."""
    with socket.create_connection(("127.0.0.1", loop.web.port), timeout=seconds) as caller:
        answer = b""
        try:
            caller.sendall(data)
            caller.shutdown(socket.SHUT_WR)
            while part := caller.recv(65536):
                answer += part
        except OSError:
            pass
        return answer


@contextmanager
def callers(loop: Loop, count: int, data: bytes, small: bool = False) -> Iterator[list[socket.socket]]:
    """So many who send this and then stay."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            caller = stack.enter_context(socket.socket())
            if small:
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.settimeout(20)
            try:
                caller.connect(("127.0.0.1", loop.web.port))
                caller.sendall(data)
            except OSError:
                continue
            found.append(caller)
        yield found


def is_closed(caller: socket.socket) -> bool:
    """Whether the other side has hung up; what it sent before is thrown away."""
    caller.setblocking(False)
    try:
        while caller.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
