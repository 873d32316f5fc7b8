"""Latency on this machine: percentiles of the timings that the pipeline takes anyway."""

from __future__ import annotations

import os
import platform
import resource
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.device.boxes import Box
from edgekit.device.camera import Frame, open_camera
from edgekit.device.detector import detect
from edgekit.device.errors import CameraError
from edgekit.device.image import SUFFIXES, Image, read_image
from edgekit.device.interpreter import Loaded, TfliteModel, runtime
from edgekit.device.pipeline import STAGES, records
from edgekit.device.record import Log
from edgekit.device.sentiment import classify
from edgekit.device.spec import unpack
from edgekit.device.timing import Laps

PERCENTILES = 50, 90, 95, 99


def measure(
    source: str, size: tuple[int, int], detector: Loaded, sentiment: Loaded, frames: int, warmup: int
) -> dict[str, Any]:
    """Run the pipeline with its log and count; the first `warmup` frames are left out.

    Returns per stage "n" and p50 to p99 in milliseconds, frames a second, memory in MB and what was measured.
    """
    rows: list[dict[str, float]] = []
    faces = 0
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder) / "bench.jsonl")
        start = begun = time.perf_counter()
        cpu = time.process_time()
        for number, (_, record) in enumerate(records(_frames(source, size, stop), detector, sentiment)):
            if number == warmup:
                begun, cpu = start, time.process_time()
            asked = time.perf_counter()
            log.write(record)
            start = time.perf_counter()
            wrote = 1000 * (start - asked)
            if number >= warmup:
                rows.append({**record.ms, "write": wrote, "whole": record.ms["whole"] + wrote})
                faces += len(record.faces)
            if number + 1 == warmup + frames:
                break
        seconds, busy = start - begun, time.process_time() - cpu
        stop.set()
        log.close()
    return {
        "stages": summary(rows),
        "frames": len(rows),
        "faces_a_frame": round(faces / len(rows), 2),
        "frames_a_second": round(len(rows) / seconds, 1),
        "cpu_ms_a_frame": round(1000 * busy / len(rows), 3),
        "memory_mb": {"peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1), "now": _memory()},
        "source": source,
        "models": {
            m.spec.task: {"sha256": m.spec.sha256, "precision": m.spec.precision} for m in (detector, sentiment)
        },
        "machine": machine(),
    }


def side_by_side(
    paths: Sequence[Path], source: str, size: tuple[int, int], threads: int, rounds: int, warmup: int
) -> dict[str, Any]:
    """Each model alone on the first frame of a source, in turn, so that what disturbs one disturbs all.

    Returns per model file, task, arch, bytes, p50 to p99 of its stage in milliseconds, and the ratio of its p50 to
    that of the first. A classifier gets the middle of the frame.
    """
    stop = threading.Event()
    image = next(_frames(source, size, stop)).image
    stop.set()
    loaded = [_load(path, threads) for path in paths]
    times: list[list[float]] = [[] for _ in paths]
    for number in range(warmup + rounds):
        for model, ms in zip(loaded, times, strict=True):
            laps = Laps()
            stage = _pass(model, image, laps)
            if number >= warmup:
                ms.append(laps.ms[stage])
    first = float(np.median(times[0]))
    rows = [
        {"file": str(path), "task": model.spec.task, "arch": model.spec.arch, "bytes": path.stat().st_size}
        | {f"p{p}": round(float(np.percentile(ms, p)), 4) for p in PERCENTILES}
        | {"ratio": round(float(np.median(ms)) / first, 3)}
        for path, model, ms in zip(paths, loaded, times, strict=True)
    ]
    return {"models": rows, "rounds": rounds, "threads": threads, "source": source, "machine": machine()}


def _load(path: Path, threads: int) -> Loaded:
    flatbuffer, spec = unpack(path)
    return Loaded(TfliteModel(flatbuffer, threads, path), spec)


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
    stages = [*STAGES[:-1], "write", STAGES[-1]]
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


def _frames(source: str, size: tuple[int, int], stop: threading.Event) -> Iterator[Frame]:
    """The frames of a source; one picture is read once and comes again and again."""
    path = Path(source)
    if path.suffix.lower() in SUFFIXES and not path.is_dir():
        image = read_image(path)
        index = 0
        while not stop.is_set():
            yield Frame(image, index, time.time(), source)
            index += 1
    else:
        with open_camera(source, size, stop) as camera:
            yield from camera


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
