"""What a frame costs beside the two models: with a log, with people who watch the page, with many faces.

python scripts/benchmarks/overhead.py          # one thread; blocks of each kind in turn, so that what disturbs one disturbs all
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
    """One picture, again and again, each time as if it had just come."""

    def __init__(self, image: Image) -> None:
        super().__init__(iter(()), "pictures")
        self.image, self.count = image, 0

    def read(self, timeout: float) -> Frame:
        self.count += 1
        return Frame(self.image, self.count, time.time())


def tile_faces(image: Image, rows: int, columns: int) -> Image:
    """So many copies of a portrait, side by side, in a frame of SIZE."""
    portrait = resize(
        crop_window(image, 85, 15, 195, 125), (SIZE[0] // rows, SIZE[1] // columns)
    )  # around the example's face
    return np.ascontiguousarray(np.tile(portrait, (rows, columns, 1)))


def open_image_run(stack: ExitStack, image: Image, preview: str | None) -> Run:
    """A run on one picture, with a log of events."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    plan = RunConfig(
        "",
        SIZE,
        MODELS_DIR / "detector.tflite",
        MODELS_DIR / "sentiment.tflite",
        threads=1,
        idle_fps=0,
        log=(f"{folder}/l.jsonl",),
        log_level="events",
        preview=preview,
    )
    return stack.enter_context(open_run(plan, RepeatedImage(image)))


def time_block(run: Run) -> list[dict[str, float]]:
    """The stages of some frames, and the whole of their steps."""
    rows = []
    for _ in range(BLOCK):
        begun = time.perf_counter()
        run.step(lambda doing: None)
        took = 1000 * (time.perf_counter() - begun)
        assert run.status.latest
        rows.append({**run.status.latest.stages_ms, "step": took, "faces": float(len(run.status.latest.faces))})
    return rows


def time_invocations(models: tuple[Model, Model]) -> list[float]:
    """Milliseconds of both models' bare invocations."""
    times = []
    for _ in range(BLOCK):
        begun = time.perf_counter()
        for loaded in models:
            loaded.infer.interpreter.invoke()  # type: ignore[attr-defined]
        times.append(1000 * (time.perf_counter() - begun))
    return times


@click.command()
@click.option("--viewers", default=2, show_default=True)
def overhead(viewers: int) -> None:
    """Compare bare invocations, whole frames, whole frames that are watched, and frames with twenty faces."""
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
        bare: list[float] = []
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
        for number in range(ROUNDS + 1):
            for name, run in runs.items():
                found = time_block(run)
                rows[name] += found if number else []  # the first round warms up
            bare += time_invocations(models) if number else []
    click.echo(json.dumps(summarize(bare, rows), indent=1))


def summarize(bare: list[float], rows: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians, and each kind against the bare invocations of the same run."""
    floor = float(np.median(bare))
    kinds = {
        name: {
            "faces": float(np.median([row["faces"] for row in found])),
            "ms": round(float(np.median([row["step"] for row in found])), 3),
            "of_invocations": round(float(np.median([row["step"] for row in found])) / floor, 3),
            "stages": {k: round(float(np.median([r.get(k, 0.0) for r in found])), 3) for k in found[-1]},
        }
        for name, found in rows.items()
    }
    none, one, many = (kinds[name] for name in ("no face", "one face", "crowd"))
    each = (many["ms"] - none["ms"] + none["stages"]["fit"] - many["stages"]["fit"]) / max(1, many["faces"])
    return {
        "invocations_ms": round(floor, 3),
        "kinds": kinds,
        "ms_a_face": {"one": round(one["ms"] - none["ms"], 3), "in the crowd": round(each, 3)},
        "machine": describe_environment(),
    }


if __name__ == "__main__":
    overhead()
