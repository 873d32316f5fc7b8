"""Models alone, in turn in one run, so that what disturbs one disturbs all."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketsight.device.bench.benchmark import require_stable_delegate
from pocketsight.device.bench.environment import model_properties, report_header, source_sha256
from pocketsight.device.bench.startup import measure_startup
from pocketsight.device.bench.statistics import (
    Sessions,
    frames_per_session,
    ratio_of_medians,
    subsample,
    summarize_stages,
)
from pocketsight.device.bench.verdicts import model_verdict
from pocketsight.device.bench.warmup import Warmup, summarize_warmup
from pocketsight.device.camera import open_camera
from pocketsight.device.errors import CameraError
from pocketsight.device.inference.classifier import classify
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.model_loader import load_model
from pocketsight.device.system.stage_timer import StageTimer
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image


def benchmark_models(
    paths: Sequence[Path],
    source: str,
    size: tuple[int, int],
    threads: int | None,
    rounds: int,
    warmup: int | None,
    delegate: str = "auto",
) -> dict[str, Any]:
    """Each model's own stage on the first frame of a source; a classifier gets the middle of the frame.

    In several sittings, for each of which the models are loaded anew. Returns the report "models" of bench/README.md;
    ratios are to the first model. By itself a compiled file runs on the Coral and a plain one on the CPU.
    """
    name, image = _read_first_frame(source, size)
    delegates = [_native_delegate(path) if delegate == "auto" else delegate for path in paths]
    imported, steps = measure_startup(paths, threads, delegates)
    times: list[list[list[float]]] = [[] for _ in paths]  # a model, a sitting, a round: ms
    warm = []
    for share in frames_per_session(rounds):
        loaded = [load_model(path, threads=threads, delegate=on) for on, path in zip(delegates, paths, strict=True)]
        with require_stable_delegate(loaded):
            found, left_out = time_models_interleaved(loaded, image, share, warmup)
        warm.append(left_out)
        for sittings, ms in zip(times, found, strict=True):
            sittings.append(ms)
    rows = [
        {
            **model_properties(path, model),
            **step,
            **summarize_stages({"": ms})[""],
            **_ratio_to_first(ms, times[0]),
            "samples": subsample(ms),
        }
        for path, model, step, ms in zip(paths, loaded, steps, times, strict=True)
    ]
    words = [line for row in rows[1:] if (line := model_verdict(row, rows[0], row["verdict"], row["hidden"]))]
    return {
        **report_header("models"),
        "source": name,
        "source_sha256": source_sha256(source),
        "import_ms": imported,
        "rounds": rounds,
        "warmup": summarize_warmup(warm),
        "models": rows,
        "words": words,
    }


def _native_delegate(path: Path) -> str:
    return "edgetpu" if read_model_file(path)[1].edgetpu else "cpu"


def time_models_interleaved(
    loaded: Sequence[Model], image: Image, rounds: int, warmup: int | None
) -> tuple[list[list[float]], Warmup]:
    """Milliseconds of each model, in `rounds` rounds once all of them together are warm."""
    warm = Warmup(warmup)
    while not warm.done:
        warm.add(sum(_time_model(model, image) for model in loaded), time.perf_counter())
    times: list[list[float]] = [[] for _ in loaded]
    for _ in range(rounds):
        for model, ms in zip(loaded, times, strict=True):
            ms.append(_time_model(model, image))
    return times, warm


def _ratio_to_first(ms: Sessions, baseline: Sessions) -> dict[str, Any]:
    found = ratio_of_medians(ms, baseline, paired=True)
    return {
        "ratio": round(found.ratio, 4),
        "interval": [round(found.low, 4), round(found.high, 4)],
        "verdict": found.verdict,
        "hidden": round(found.max_undetected, 4),
    }


def _read_first_frame(source: str, size: tuple[int, int]) -> tuple[str, Image]:
    """The source's name, and its first frame."""
    stop = threading.Event()
    with open_camera(source, size, stop) as camera:
        frame = next(iter(camera), None)
        stop.set()
    if frame is None:
        raise CameraError(f"{source} has no frame")
    return camera.name, frame.image


def _time_model(model: Model, image: Image) -> float:
    """Run a model once by the board's own code; milliseconds of the stage that is the model itself."""
    timer = StageTimer()
    if model.spec.task == "detector":
        detect(image, model, timer)
        return timer.stages_ms["detect"]
    height, width = image.shape[:2]
    classify(image, Box(width / 4, height / 4, 3 * width / 4, 3 * height / 4), model, timer)
    return timer.stages_ms["classify"]
