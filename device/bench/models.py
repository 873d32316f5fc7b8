"""Models alone, in turn in one run, so that what disturbs one disturbs all."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketsight.device.bench.machine import facts, report, source_sum
from pocketsight.device.bench.measure import steady
from pocketsight.device.bench.start import first_steps
from pocketsight.device.bench.statistics import Sittings, kept, ratio_of_medians, shares, summary
from pocketsight.device.bench.warmup import Warmup, warmed
from pocketsight.device.bench.words import of_model
from pocketsight.device.boxes import Box
from pocketsight.device.camera import open_camera
from pocketsight.device.detector import detect
from pocketsight.device.edgetpu import load_on
from pocketsight.device.errors import CameraError
from pocketsight.device.image import Image
from pocketsight.device.interpreter import Loaded
from pocketsight.device.sentiment import classify
from pocketsight.device.spec import unpack
from pocketsight.device.timing import Laps


def side_by_side(
    paths: Sequence[Path], source: str, size: tuple[int, int], threads: int | None, rounds: int, warmup: int | None,
    delegate: str = "auto",
) -> dict[str, Any]:  # fmt: skip
    """Each model's own stage on the first frame of a source; a classifier gets the middle of the frame.

    In several sittings, for each of which the models are loaded anew. Returns the report "models" of bench/README.md;
    ratios are to the first model. By itself a compiled file runs on the Coral and a plain one on the CPU.
    """
    name, image = _first_image(source, size)
    delegates = [_own(path) if delegate == "auto" else delegate for path in paths]
    imported, steps = first_steps(paths, threads, delegates)
    times: list[list[list[float]]] = [[] for _ in paths]  # a model, a sitting, a round: ms
    warm = []
    for share in shares(rounds):
        loaded = [load_on(on, path, threads=threads) for on, path in zip(delegates, paths, strict=True)]
        with steady(loaded):
            found, left_out = in_turn(loaded, image, share, warmup)
        warm.append(left_out)
        for sittings, ms in zip(times, found, strict=True):
            sittings.append(ms)
    rows = [
        {**facts(path, model), **step, **summary({"": ms})[""], **_against(ms, times[0]), "samples": kept(ms)}
        for path, model, step, ms in zip(paths, loaded, steps, times, strict=True)
    ]
    words = [line for row in rows[1:] if (line := of_model(row, rows[0], row["verdict"], row["hidden"]))]
    return {
        **report("models"), "source": name, "source_sha256": source_sum(source), "import_ms": imported,
        "rounds": rounds, "warmup": warmed(warm), "models": rows, "words": words,
    }  # fmt: skip


def _own(path: Path) -> str:
    return "edgetpu" if unpack(path)[1].compiled else "cpu"


def in_turn(
    loaded: Sequence[Loaded], image: Image, rounds: int, warmup: int | None
) -> tuple[list[list[float]], Warmup]:  # fmt: skip
    """Milliseconds of each model, in `rounds` rounds once all of them together are warm."""
    warm = Warmup(warmup)
    while not warm.done:
        warm.add(sum(_pass(model, image) for model in loaded), time.perf_counter())
    times: list[list[float]] = [[] for _ in loaded]
    for _ in range(rounds):
        for model, ms in zip(loaded, times, strict=True):
            ms.append(_pass(model, image))
    return times, warm


def _against(ms: Sittings, first: Sittings) -> dict[str, Any]:
    found = ratio_of_medians(ms, first, in_turn=True)
    return {
        "ratio": round(found.ratio, 4), "interval": [round(found.low, 4), round(found.high, 4)],
        "verdict": found.verdict, "hidden": round(found.hidden, 4),
    }  # fmt: skip


def _first_image(source: str, size: tuple[int, int]) -> tuple[str, Image]:
    """The source's name, and its first frame."""
    stop = threading.Event()
    with open_camera(source, size, stop) as camera:
        frame = next(iter(camera), None)
        stop.set()
    if frame is None:
        raise CameraError(f"{source} has no frame")
    return camera.name, frame.image


def _pass(model: Loaded, image: Image) -> float:
    """Run a model once by the board's own code; milliseconds of the stage that is the model itself."""
    laps = Laps()
    if model.spec.task == "detector":
        detect(image, model, laps)
        return laps.ms["detect"]
    height, width = image.shape[:2]
    classify(image, Box(width / 4, height / 4, 3 * width / 4, 3 * height / 4), model, laps)
    return laps.ms["classify"]
