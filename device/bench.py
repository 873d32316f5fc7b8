"""Latency on this machine: percentiles of the timings that the pipeline takes anyway."""

from __future__ import annotations

import os
import platform
import resource
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.device.boxes import Box
from edgekit.device.camera import Camera, Frame, open_camera
from edgekit.device.detector import detect
from edgekit.device.edgetpu import changes, load_on, runs_on
from edgekit.device.errors import CameraError, ModelError
from edgekit.device.image import SUFFIXES, Image, read_image
from edgekit.device.interpreter import Loaded, runtime
from edgekit.device.pipeline import STAGES
from edgekit.device.plan import Plan
from edgekit.device.run import watching
from edgekit.device.sentiment import classify
from edgekit.device.spec import unpack
from edgekit.device.timing import Laps

PERCENTILES = 50, 90, 95, 99


def measure(plan: Plan, warmup: int) -> dict[str, Any]:
    """Do what `edgekit run` does with `plan`, and count `plan.frames` frames after the first `warmup`.

    One picture comes again and again. Returns per stage "n" and p50 to p99 in milliseconds, frames a second, memory
    in MB and what was measured.
    """
    rows: list[dict[str, float]] = []
    faces = 0
    with tempfile.TemporaryDirectory() as folder:
        endless = replace(plan, log=(f"{folder}/bench.jsonl",), frames=None)
        with watching(endless, _again(plan.camera)) as run:
            models = run.pipeline.detector, run.pipeline.sentiment
            places, changed = [runs_on(model) for model in models], changes(models)
            begun, cpu = time.perf_counter(), time.process_time()
            while len(rows) != plan.frames and run.step(_no_beat):
                if run.watched.frames <= warmup:
                    begun, cpu = time.perf_counter(), time.process_time()
                elif run.state.latest and run.watched.frames > warmup + len(rows):
                    rows.append(run.state.latest.ms)
                    faces += len(run.state.latest.faces)
            seconds, busy = time.perf_counter() - begun, time.process_time() - cpu
    _demand_steady(models, changed)
    return {
        "stages": summary(rows),
        "frames": len(rows),
        "faces_a_frame": round(faces / len(rows), 2),
        "frames_a_second": round(len(rows) / seconds, 1),
        "cpu_ms_a_frame": round(1000 * busy / len(rows), 3),
        "memory_mb": {"peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1), "now": _memory()},
        "source": plan.camera,
        "models": {
            m.spec.task: {"sha256": m.spec.sha256, "precision": m.spec.precision, "runs_on": place}
            for m, place in zip(models, places, strict=True)
        },
        "machine": machine(),
    }


def _demand_steady(models: Sequence[Loaded], changed: int) -> None:
    """Raise ModelError when a Coral came or went since then: times of two machines are no times."""
    if changes(models) != changed:
        raise ModelError("a Coral came or went while it was measured; measure again, or with --delegate cpu")


def _again(source: str) -> Camera | None:
    """One picture, again and again; None where the source is something else."""
    path = Path(source)
    if path.suffix.lower() not in SUFFIXES or path.is_dir():
        return None
    image = read_image(path)
    return Camera((Frame(image, index, time.time()) for index in count()), source)


def _no_beat(doing: str) -> None:
    """No watchdog."""


def side_by_side(
    paths: Sequence[Path], source: str, size: tuple[int, int], threads: int | None, rounds: int, warmup: int,
    delegate: str = "auto",
) -> dict[str, Any]:  # fmt: skip
    """Each model alone on the first frame of a source, in turn, so that what disturbs one disturbs all.

    Returns per model file, task, arch, bytes, p50 to p99 of its stage in milliseconds, and the ratio of its p50 to
    that of the first, and what runs it. A classifier gets the middle of the frame.
    """
    image = _first_image(source, size)
    loaded = [_load_alone(path, threads, delegate) for path in paths]
    places, changed = [runs_on(model) for model in loaded], changes(loaded)
    times: list[list[float]] = [[] for _ in paths]
    for number in range(warmup + rounds):
        for model, ms in zip(loaded, times, strict=True):
            laps = Laps()
            stage = _pass(model, image, laps)
            if number >= warmup:
                ms.append(laps.ms[stage])
    _demand_steady(loaded, changed)
    first = float(np.median(times[0]))
    rows = [
        {"file": str(path), "task": model.spec.task, "arch": model.spec.arch, "bytes": path.stat().st_size}
        | {f"p{p}": round(float(np.percentile(ms, p)), 4) for p in PERCENTILES}
        | {"ratio": round(float(np.median(ms)) / first, 3), "runs_on": place}
        for path, model, ms, place in zip(paths, loaded, times, places, strict=True)
    ]
    return {"models": rows, "rounds": rounds, "threads": threads, "source": source, "machine": machine()}


def _load_alone(path: Path, threads: int | None, delegate: str) -> Loaded:
    """The very file: by itself a compiled one runs on the Coral, and a plain one on the CPU."""
    if delegate == "auto":
        delegate = "edgetpu" if unpack(path)[1].compiled else "cpu"
    return load_on(delegate, path, threads=threads)


def _first_image(source: str, size: tuple[int, int]) -> Image:
    stop = threading.Event()
    with open_camera(source, size, stop) as camera:
        frame = next(iter(camera), None)
        stop.set()
    if frame is None:
        raise CameraError(f"{source} has no frame")
    return frame.image


def _pass(model: Loaded, image: Image, laps: Laps) -> str:
    """Run a model once by the board's own code; the name of the stage that is the model itself."""
    if model.spec.task == "detector":
        detect(image, model, laps)
        return "detect"
    height, width = image.shape[:2]
    classify(image, Box(width / 4, height / 4, 3 * width / 4, 3 * height / 4), model, laps)
    return "classify"


def summary(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """For each stage its number of frames and its percentiles, over the frames that had it."""
    if not rows:
        raise CameraError("the source ended before anything could be measured; lower --warmup")
    stages = STAGES
    times = {stage: [row[stage] for row in rows if stage in row] for stage in stages}
    return {
        stage: {"n": len(ms)} | {f"p{p}": round(float(np.percentile(ms, p)), 4) for p in PERCENTILES}
        for stage, ms in times.items()
        if ms
    }


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "board": _first(Path("/proc/device-tree/model")) or _cpu() or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "interpreter": runtime()[1],
        "governor": _first(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "edgekit": version("edgekit"),
    }


def _memory() -> float:
    """Resident memory now, in MB."""
    pages = Path("/proc/self/statm")
    return round(int(pages.read_text().split()[1]) * resource.getpagesize() / 2**20, 1) if pages.exists() else 0.0


def _first(path: Path) -> str:
    try:
        return path.read_text().strip("\0\n ")
    except OSError:
        return ""


def _cpu() -> str:
    lines: Iterable[str] = _first(Path("/proc/cpuinfo")).splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
