"""CPU time from encoded bytes to the result, side by side with another checkout, on one core.

taskset -c 0 python scripts/benchmarks/pixel_path.py --base ../older-checkout

The networks cost the same in both; how much that is depends on the CPU, so the ratio without them is printed too. The
bytes of a camera come from memory, through the reader for V4L2: a stand-in for cv2.VideoCapture gives an image when
the one before was taken, whole or raw, as the driver would; with --fps 5 it gives 30 per second. Each row is run in
turns, in a process of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
FPS, WARMUP, SECONDS, PICTURES = 30, 12, 2.0, 6
JPEG_QUALITY, NOISE = 85, 2.5  # levels of noise, as of a sensor in daylight
ROWS = {  # kind, height, width, --fps
    "MJPEG 1920x1080": ("MJPG", 1080, 1920, None),
    "MJPEG 1280x720": ("MJPG", 720, 1280, None),
    "MJPEG 640x480": ("MJPG", 480, 640, None),
    "YUYV 1280x720": ("YUYV", 720, 1280, None),
    "folder of 4032x3024": ("folder", 3024, 4032, None),
    "H.264 1920x1080 file": ("video", 1080, 1920, None),
    "MJPEG 1920x1080, --fps 5, per second": ("MJPG", 1080, 1920, 5.0),
}
TARGETS = dict(zip(ROWS, (0.55, 0.6, 0.85, 0.6, 0.4, 0.75, 0.2), strict=True))


def make_images(height: int, width: int, number: int) -> list[NDArray[np.uint8]]:
    """The example with noise, BGR (H, W, 3)."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(cv2.imread(str(ROOT / "models/example.jpg")), (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, NOISE, (height + number, width, 3)).astype(np.float32)
    return [np.clip(picture + noise[n : n + height], 0, 255).astype(np.uint8) for n in range(number)]


class FakeCapture:
    """What the reader calls of cv2.VideoCapture, fed from memory."""

    taken = threading.Semaphore(2)  # one image is processed while the next one is read

    def __init__(self, frames: list[NDArray[np.uint8]], fourcc: str, is_paced: bool) -> None:
        self.frames, self.fourcc, self.numbers, self.is_paced = frames, fourcc, count(), is_paced
        self.convert, self.start = 1.0, time.monotonic()
        self.current = frames[0]

    def isOpened(self) -> bool:
        return True

    def release(self) -> None:
        pass

    def set(self, name: int, value: float) -> bool:
        if name == cv2.CAP_PROP_CONVERT_RGB:
            self.convert = value
        return True

    def get(self, name: int) -> float:
        known = {cv2.CAP_PROP_FPS: FPS, cv2.CAP_PROP_CONVERT_RGB: self.convert}
        known[cv2.CAP_PROP_FOURCC] = cv2.VideoWriter.fourcc(*self.fourcc)
        return float(known.get(name, 0))

    def grab(self) -> bool:
        number = next(self.numbers)
        if self.is_paced:
            time.sleep(max(0.0, self.start + number / FPS - time.monotonic()))
        else:
            self.taken.acquire(timeout=1)
        self.current = self.frames[number % len(self.frames)]
        return True

    def retrieve(self, image: Any = None) -> tuple[bool, Any]:
        if not self.convert:
            return True, self.current.copy()
        if self.fourcc == "MJPG":
            return True, cv2.imdecode(self.current, cv2.IMREAD_COLOR)
        return True, cv2.cvtColor(self.current, cv2.COLOR_YUV2BGR_YUYV, dst=image)

    def read(self, image: Any = None) -> tuple[bool, Any]:
        self.grab()
        return self.retrieve(image)


class TimedInterpreter:
    """An interpreter, and the CPU time of its `invoke`."""

    seconds = 0.0  # of all instances

    def __init__(self, interpreter: Any) -> None:
        self.interpreter = interpreter

    def __getattr__(self, name: str) -> Any:
        return getattr(self.interpreter, name)

    def invoke(self) -> None:
        start = time.thread_time()
        self.interpreter.invoke()
        TimedInterpreter.seconds += time.thread_time() - start


def to_yuyv(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """YUYV (H, W, 2) of a BGR image."""
    planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
    height, width = image.shape[:2]
    chroma = planes[height:].reshape(2, height // 2, width // 2).repeat(2, axis=1)
    raw = np.empty((height, width, 2), np.uint8)
    raw[..., 0], raw[:, 0::2, 1], raw[:, 1::2, 1] = planes[:height], chroma[0], chroma[1]
    return raw


def make_source(kind: str, height: int, width: int, folder: Path, is_paced: bool = False) -> str:
    """Write or patch in the source of a row; returns the value of --camera."""
    images = make_images(height, width, PICTURES)
    jpegs = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1] for image in images]
    if kind == "folder":
        for number in range(5 * PICTURES):
            (folder / f"{number:03}.jpg").write_bytes(jpegs[number % PICTURES].tobytes())
        return str(folder)
    if kind == "video":
        return write_h264(folder / "clip.mp4", images)
    frames = (
        [np.asarray(jpeg, np.uint8).reshape(1, -1) for jpeg in jpegs] if kind == "MJPG" else list(map(to_yuyv, images))
    )
    cv2.VideoCapture = lambda *_: FakeCapture(frames, kind, is_paced)  # type: ignore[assignment,misc]
    return "/dev/null"  # a character device that may be opened


def write_h264(path: Path, images: list[NDArray[np.uint8]]) -> str:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *images[0].shape[:2], "yuv420p"
        for number in range(75):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(images[number % len(images)], "bgr24")))
        container.mux(stream.encode(None))
    return str(path)


def measure(kind: str, height: int, width: int, fps: float | None, detector: Path) -> tuple[float, float]:
    """CPU milliseconds of this process per frame, or per second with `fps`; and those of the networks in it."""
    from pocketsight.device.runtime.config import RunConfig
    from pocketsight.device.runtime.loop import open_run

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "source").mkdir()
        source = make_source(kind, height, width, folder / "source", is_paced=fps is not None)
        log = (str(folder / "log.jsonl"),)
        config = RunConfig(
            source, (height, width), detector, threads=1, idle_fps=0, log=log, log_level="events", fps=fps
        )
        with open_run(config) as run:
            for model in (run.pipeline.detector, run.pipeline.classifier):
                model.infer.interpreter = TimedInterpreter(model.infer.interpreter)  # type: ignore[attr-defined,union-attr]

            def step() -> bool:
                before = run.summary.frames
                keeps_running = run.step(lambda phase: None)
                for _ in range(run.summary.frames - before):
                    FakeCapture.taken.release()
                return keeps_running

            while run.summary.frames < (3 if fps else WARMUP) and step():
                pass
            frames, cpu, start = run.summary.frames, time.process_time(), time.monotonic()
            networks = TimedInterpreter.seconds
            while time.monotonic() - start < SECONDS and step():
                pass
            divisor = time.monotonic() - start if fps else run.summary.frames - frames
            return tuple(
                1000 * spent / divisor for spent in (time.process_time() - cpu, TimedInterpreter.seconds - networks)
            )


@click.command()
@click.option("--base", type=click.Path(path_type=Path, exists=True), help="Checkout to compare with.")
@click.option("--turns", default=5, show_default=True)
@click.option("--row", "rows", multiple=True, type=click.Choice([*ROWS]), help="Measure only this row.")
@click.option(
    "--detector",
    type=click.Path(path_type=Path, exists=True),
    default=ROOT / "models/detector.tflite",
    help="Model of both builds, if not the shipped one of this build.",
)
@click.option("--child", hidden=True)
def main(base: Path | None, turns: int, rows: tuple[str, ...], detector: Path, child: str | None) -> None:
    """CPU milliseconds per frame, medians over turns, and the ratio to another checkout."""
    if child:
        print(json.dumps(measure(*ROWS[child], detector)))
        return
    builds = {"base": base, "this": ROOT} if base else {"this": ROOT}
    headings = [*builds, "ratio", "target", "networks", "ratio without"]
    print(f"{'':38}" + "".join(f"{heading:>{len(heading) + 5}}" for heading in headings))
    for row in rows or ROWS:
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in builds}
        for _ in range(turns):
            for name, build in builds.items():
                path = os.pathsep.join((str(build.resolve() / "scripts/package"), str(build.resolve())))
                command = [sys.executable, __file__, "--child", row, "--detector", str(detector)]
                done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=True)
                times[name].append(json.loads(done.stdout.split(b"\n")[-2]))
        whole = [statistics.median(spent for spent, _ in times[name]) for name in builds]
        rest = [statistics.median(spent - networks for spent, networks in times[name]) for name in builds]
        networks = statistics.median(networks for _, networks in times["this"])
        numbers = *whole, whole[-1] / whole[0], TARGETS[row], networks, rest[-1] / rest[0]
        texts = [f"{number:{len(heading) + 5}.2f}" for number, heading in zip(numbers, headings, strict=True)]
        spread = ", ".join(f"{name} {min(each)[0]:.2f} to {max(each)[0]:.2f}" for name, each in times.items())
        print(f"{row:38}{''.join(texts)}   {spread}", flush=True)


if __name__ == "__main__":
    main()
