"""The cost of a whole frame compared with the two model calls alone: with a log, with page viewers, with many faces.

python scripts/benchmarks/overhead.py       # one thread; the cases are interleaved, so that noise affects all alike

"ms" and "model_calls_ms" are CPU times of the thread that processes frames; "stages_ms" are wall times.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import Any

import click
import numpy as np

from pocketsight.device.bench.environment import describe_environment
from pocketsight.device.camera import Camera, Frame
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODELS_DIR
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.loop import Run, open_run
from pocketsight.device.vision.crop import crop_window
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.resize import resize

BLOCK, ROUNDS, SIZE = 60, 12, (240, 320)
VIEWER = (
    "import sys, urllib.request as u\nwith u.urlopen(sys.argv[1] + 'stream.mjpg') as f:\n while f.read(65536): pass"
)


class RepeatedImage(Camera):
    """A camera that shows one image, each time as a new frame."""

    def __init__(self, image: Image) -> None:
        super().__init__(iter(()), "images")
        self.image, self.count = image, 0

    def read(self, timeout: float) -> Frame:
        self.count += 1
        return Frame(self.image, self.count, time.time())


def tile_faces(image: Image, rows: int, columns: int) -> Image:
    """A frame of SIZE with rows x columns copies of the example's face."""
    portrait = resize(crop_window(image, 85, 15, 195, 125), (SIZE[0] // rows, SIZE[1] // columns))
    return np.ascontiguousarray(np.tile(portrait, (rows, columns, 1)))


def open_image_run(stack: ExitStack, image: Image, preview: str | None) -> Run:
    """A run on one image, with an event log."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    config = RunConfig(
        str(EXAMPLE_IMAGE),
        SIZE,
        MODELS_DIR / "detector.tflite",
        MODELS_DIR / "sentiment.tflite",
        threads=1,
        idle_fps=0,
        log=(f"{folder}/l.jsonl",),
        log_level="events",
        preview=preview,
    )
    return stack.enter_context(open_run(config, RepeatedImage(image)))


def time_block(run: Run) -> list[dict[str, float]]:
    """The stage times of BLOCK frames, and the CPU time of their steps."""
    rows = []
    for _ in range(BLOCK):
        start = time.thread_time()
        run.step(lambda doing: None)
        elapsed = 1000 * (time.thread_time() - start)
        assert run.status.latest
        rows.append({**run.status.latest.stages_ms, "step": elapsed, "faces": float(len(run.status.latest.faces))})
    return rows


def time_model_calls(models: tuple[Model, Model]) -> list[float]:
    """Milliseconds of CPU time of both model calls alone, BLOCK times."""
    times = []
    for _ in range(BLOCK):
        start = time.thread_time()
        for loaded in models:
            loaded.infer.interpreter.invoke()  # type: ignore[attr-defined]
        times.append(1000 * (time.thread_time() - start))
    return times


@click.command()
@click.option("--viewers", default=2, show_default=True, help="Number of page viewers.")
def overhead(viewers: int) -> None:
    """Compare model calls alone, whole frames, frames with page viewers, and frames with twenty faces."""
    face = read_image(EXAMPLE_IMAGE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with ExitStack() as stack:
        runs = {
            "no face": open_image_run(stack, np.full_like(face, 90), None),
            "one face": open_image_run(stack, face, None),
            f"one face, {viewers} viewers": open_image_run(stack, face, address),
            "crowd": open_image_run(stack, tile_faces(face, 4, 5), None),
        }
        for _ in range(viewers):
            watch = [sys.executable, "-c", VIEWER, f"http://{address}/"]
            stack.callback(stack.enter_context(subprocess.Popen(watch, stderr=subprocess.DEVNULL)).kill)
        models = runs["one face"].pipeline.detector, runs["one face"].pipeline.classifier
        model_calls: list[float] = []
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
        for number in range(ROUNDS + 1):
            for name, run in runs.items():
                block = time_block(run)
                rows[name] += block if number else []  # the first round warms up
            model_calls += time_model_calls(models) if number else []
    click.echo(json.dumps(summarize(model_calls, rows), indent=1))


def summarize(model_calls: list[float], rows: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians, and the ratio of each case to the model calls of the same run."""
    calls_ms = float(np.median(model_calls))
    cases = {
        name: {
            "faces": float(np.median([row["faces"] for row in block])),
            "ms": round(float(np.median([row["step"] for row in block])), 3),
            "ratio_to_model_calls": round(float(np.median([row["step"] for row in block])) / calls_ms, 3),
            "stages_ms": {k: round(float(np.median([r.get(k, 0.0) for r in block])), 3) for k in block[-1]},
        }
        for name, block in rows.items()
    }
    none, one, many = (cases[name] for name in ("no face", "one face", "crowd"))
    preprocess = none["stages_ms"]["preprocess"] - many["stages_ms"]["preprocess"]
    each = (many["ms"] - none["ms"] + preprocess) / max(1, many["faces"])
    return {
        "model_calls_ms": round(calls_ms, 3),
        "cases": cases,
        "ms_per_face": {"one": round(one["ms"] - none["ms"], 3), "in the crowd": round(each, 3)},
        "environment": describe_environment(),
    }


if __name__ == "__main__":
    overhead()
