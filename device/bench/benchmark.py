"""The real run, timed: `pocketsight run`'s own loop, and the timings that the pipeline takes anyway."""

from __future__ import annotations

import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

from pocketsight.device.bench.environment import (
    model_properties,
    peak_memory_mb,
    report_header,
    resident_memory_mb,
    source_sha256,
)
from pocketsight.device.bench.startup import measure_startup
from pocketsight.device.bench.statistics import frames_per_session, subsample, summarize_stages
from pocketsight.device.bench.sustained import Telemetry
from pocketsight.device.bench.warmup import Warmup, summarize_warmup
from pocketsight.device.camera import Camera, Frame
from pocketsight.device.errors import CameraError, ModelError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.model_loader import count_switches
from pocketsight.device.results import FrameResult
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.loop import Run, open_run
from pocketsight.device.runtime.pipeline import STAGES
from pocketsight.device.vision.image import IMAGE_SUFFIXES, read_image


@dataclass
class Samples:
    """What the frames that count took."""

    frames: int = 0
    faces: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # seconds, of all threads
    stage_ms: dict[str, list[array[float]]] = field(default_factory=dict)  # stage -> ms, an array a sitting

    def begin_session(self) -> None:
        """Begin a sitting."""
        for stage in STAGES:
            self.stage_ms.setdefault(stage, []).append(array("f"))

    def add(self, record: FrameResult) -> None:
        self.frames += 1
        self.faces += len(record.faces)
        for stage, ms in record.stages_ms.items():
            self.stage_ms[stage][-1].append(ms)

    def report(self) -> dict[str, Any]:
        """Raises CameraError when nothing was counted."""
        if not self.frames:
            raise CameraError("the source ended before anything could be measured; lower --warmup")
        return {
            "frames": self.frames,
            "faces_a_frame": round(self.faces / self.frames, 2),
            "frames_a_second": round(self.frames / self.seconds, 1),
            "cpu_ms_a_frame": round(1000 * self.cpu_seconds / self.frames, 3),
            "stages": summarize_stages(self.stage_ms),
        }


def run_benchmark(config: RunConfig, warmup: int | None, seconds: float | None = None) -> dict[str, Any]:
    """Do what `pocketsight run` does with `plan`; count `plan.frames` frames, or `seconds`, once it is warm.

    A picture comes again and again, in several sittings; what is no picture, or goes on for `seconds`, is measured in
    one. `warmup` is a number of frames a sitting, in place of the rule. Returns the report "run" of bench/README.md.
    """
    paths = config.detector, config.classifier
    imported, steps = measure_startup(paths, config.threads, [config.delegate] * len(paths), config.verify)
    samples, telemetry = Samples(), Telemetry(seconds) if seconds else None
    session_frames = (
        frames_per_session(config.max_frames or 1)
        if is_image_file(config.camera) and not seconds
        else [config.max_frames]
    )
    warm: list[Warmup] = []
    first, memory_mb = None, None
    for goal in session_frames:
        with open_endless_run(config) as run, require_stable_delegate((run.pipeline.detector, run.pipeline.classifier)):
            found, begin = warm_up(run, warmup)
            first, warm = first or begin, [*warm, found]
            record_session(run, samples, inf if seconds else goal or inf, seconds or inf, telemetry)
            memory_mb = memory_mb or {
                "peak": peak_memory_mb(),
                "steady": resident_memory_mb(),
            }  # of one run, as `pocketsight run` is
            name, loaded = run.camera.name, (run.pipeline.detector, run.pipeline.classifier)
            if run.stop.is_set():  # by a signal: what is there counts
                break
    models = [{**model_properties(path, model), **step} for path, model, step in zip(paths, loaded, steps, strict=True)]
    return {
        **report_header("run"),
        "source": name,
        "source_sha256": source_sha256(config.camera),
        "models": models,
        "import_ms": imported,
        "first_frame_ms": first,
        "warmup": summarize_warmup(warm),
        **samples.report(),
        "memory_mb": memory_mb,
        **({"over_time": telemetry.rows} if telemetry else {}),
        "samples": {stage: subsample(ms) for stage, ms in samples.stage_ms.items() if any(ms)},
    }


@contextmanager
def open_endless_run(config: RunConfig) -> Iterator[Run]:
    """A run of `plan` that does not end by itself, with a log that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        endless = replace(config, log=(f"{folder}/bench.jsonl",), max_frames=None)
        with open_run(endless, repeat_image(config.camera)) as run:
            yield run


@contextmanager
def require_stable_delegate(models: Sequence[Model]) -> Iterator[None]:
    """Raise ModelError when a Coral comes or goes meanwhile: times of two machines are no times."""
    before = count_switches(models)
    yield
    if count_switches(models) != before:
        raise ModelError("a Coral came or went while it was measured; measure again, or with --delegate cpu")


def warm_up(run: Run, requested_frames: int | None) -> tuple[Warmup, float | None]:
    """Let a run become warm, and tell what its first frame took in ms. Of a file at most a fifth goes into it."""
    warm = Warmup(requested_frames, None if run.camera.frame_count is None else run.camera.frame_count // 5)
    first = None
    if not warm.done:
        for record in iter_run_results(run):
            warm.add(record.stages_ms["whole"], time.perf_counter())
            first = first or round(record.stages_ms["whole"], 3)
            if warm.done:
                break
    return warm, first


def record_session(
    run: Run, samples: Samples, frames: float, seconds: float = inf, telemetry: Telemetry | None = None, skip: int = 0
) -> None:
    """A sitting: count so many frames of a run, or those of so many seconds, after the first `skip`."""
    samples.begin_session()
    _skip_frames(run, skip)
    start, cpu = time.perf_counter(), time.process_time()
    goal = samples.frames + frames
    for record in iter_run_results(run, start + seconds):
        samples.add(record)
        if telemetry:
            telemetry.add_frame(record.stages_ms["whole"], time.perf_counter() - start)
        if samples.frames >= goal:
            break
    samples.seconds += time.perf_counter() - start
    samples.cpu_seconds += time.process_time() - cpu


def _skip_frames(run: Run, frames: int) -> None:
    if frames:
        for number, _ in enumerate(iter_run_results(run), 1):
            if number == frames:
                break


def iter_run_results(run: Run, deadline: float = inf) -> Iterator[FrameResult]:
    """What a run sees, frame by frame, until its source ends or the clock says `until`."""
    frame_count = run.summary.frames
    while time.perf_counter() < deadline and run.step(_no_heartbeat):
        if run.summary.frames > frame_count and run.status.latest:
            frame_count = run.summary.frames
            yield run.status.latest


def is_image_file(source: str) -> bool:
    """Whether a source is one picture, which may come again and again."""
    return Path(source).suffix.lower() in IMAGE_SUFFIXES and not Path(source).is_dir()


def repeat_image(source: str) -> Camera | None:
    """One picture, again and again; None where the source is something else."""
    if not is_image_file(source):
        return None
    image = read_image(Path(source))
    return Camera((Frame(image, index, time.time()) for index in count()), source)


def _no_heartbeat(doing: str) -> None:
    """No watchdog."""
