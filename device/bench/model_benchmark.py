"""Benchmark of models alone. They are timed interleaved, so that a disturbance affects all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pocketsight.device.bench.benchmark import require_stable_delegate
from pocketsight.device.bench.environment import model_properties, report_header, source_sha256
from pocketsight.device.bench.reports import ModelsReport, ModelTiming, Startup
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
from pocketsight.device.inference.foreign import FOREIGN_TASK, load_any
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.model_file import ForeignModelError, read_model_file
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
) -> ModelsReport:
    """Time each model on the first frame of a source; a classifier gets the center of the frame, and a model without
    a manifest ones.

    `size` is (height, width) in pixels. The models are loaded again for each session. Ratios are to the first model.
    With "auto" a compiled file runs on the Coral and another one on the CPU. Raises CameraError and ModelError.
    """
    name, image = _read_first_frame(source, size)
    delegates = [_native_delegate(path) if delegate == "auto" else delegate for path in paths]
    imported, startups = measure_startup(paths, threads, delegates)
    times: list[list[list[float]]] = [[] for _ in paths]  # by model, session and round, in ms
    warmups = []
    for session_rounds in frames_per_session(rounds):
        models = [load_any(path, threads, on) for on, path in zip(delegates, paths, strict=True)]
        with require_stable_delegate(models):
            session_ms, warm = time_models_interleaved(models, image, session_rounds, warmup)
        warmups.append(warm)
        for sessions, ms in zip(times, session_ms, strict=True):
            sessions.append(ms)
    rows = [
        _model_timing(path, model, startup, ms, times[0])
        for path, model, startup, ms in zip(paths, models, startups, times, strict=True)
    ]
    return {
        **report_header("models"),
        "source": name,
        "source_sha256": source_sha256(source),
        "runtime_import_ms": imported,
        "rounds": rounds,
        "warmup": summarize_warmup(warmups),
        "models": rows,
        "messages": _verdicts(rows),
        "operators": [],
    }


def _verdicts(rows: Sequence[ModelTiming]) -> list[str]:
    """A conclusion about each model but the first, where there is one."""
    lines = (model_verdict(row, rows[0], row["verdict"], row["max_undetected"]) for row in rows[1:])
    return [line for line in lines if line]


def _native_delegate(path: Path) -> str:
    try:
        return "edgetpu" if read_model_file(path)[1].edgetpu else "cpu"
    except ForeignModelError:
        return "cpu"


def _model_timing(path: Path, model: Model, startup: Startup, ms: Sessions, baseline: Sessions) -> ModelTiming:
    return {
        **model_properties(path, model),
        **startup,
        **summarize_stages({"": ms})[""],
        **ratio_of_medians(ms, baseline, paired=True).to_dict(),
        "samples_ms": subsample(ms),
    }


def time_models_interleaved(
    models: Sequence[Model], image: Image, rounds: int, warmup: int | None
) -> tuple[list[list[float]], Warmup]:
    """Milliseconds of each model in `rounds` rounds, after a common warm-up."""
    warm = Warmup(warmup)
    while not warm.done:
        warm.add(sum(_time_model(model, image) for model in models), time.perf_counter())
    times: list[list[float]] = [[] for _ in models]
    for _ in range(rounds):
        for model, ms in zip(models, times, strict=True):
            ms.append(_time_model(model, image))
    return times, warm


def _read_first_frame(source: str, size: tuple[int, int]) -> tuple[str, Image]:
    """The source's name, and its first frame (H, W, 3)."""
    stop = threading.Event()
    with open_camera(source, size, stop) as camera:
        frame = next(iter(camera), None)
        stop.set()
    if frame is None:
        raise CameraError(f"{source} has no frame")
    return camera.name, frame.image


def _time_model(model: Model, image: Image) -> float:
    """Run a model once with the code of the pipeline; the milliseconds of the model's own stage."""
    timer = StageTimer()
    if model.spec.task == FOREIGN_TASK:
        model.infer(image)
        timer("infer")
        return timer.stages_ms["infer"]
    if model.spec.task == "detector":
        detect(image, model, timer)
        return timer.stages_ms["detect"]
    height, width = image.shape[:2]
    classify(image, Box(width / 4, height / 4, 3 * width / 4, 3 * height / 4), model, timer)
    return timer.stages_ms["classify"]
