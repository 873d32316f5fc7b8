"""The benchmark of a whole run. It uses the loop of `pocketsight run` and the stage times that the pipeline takes."""

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

from pocketsight.device.bench.environment import (
    model_properties,
    peak_memory_mb,
    report_header,
    resident_memory_mb,
    source_sha256,
)
from pocketsight.device.bench.reports import FrameStats, Memory, RunReport
from pocketsight.device.bench.startup import measure_startup
from pocketsight.device.bench.statistics import frames_per_session, subsample, summarize_stages
from pocketsight.device.bench.sustained import Telemetry
from pocketsight.device.bench.warmup import Warmup, summarize_warmup
from pocketsight.device.camera import Camera, Frame
from pocketsight.device.errors import CameraError, ModelError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.model_choice import find_classifier, read_detector_spec
from pocketsight.device.inference.model_loader import count_switches
from pocketsight.device.inference.shipped import NO_MODEL
from pocketsight.device.results import FrameResult
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.loop import Run, open_run
from pocketsight.device.runtime.pipeline import STAGES
from pocketsight.device.vision.image import read_image
from pocketsight.device.vision.image_kinds import is_image_name


@dataclass
class Samples:
    """The times of the counted frames."""

    frames: int = 0
    faces: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of all threads
    stage_ms: dict[str, list[array[float]]] = field(default_factory=dict)  # stage -> one array per session

    def begin_session(self) -> None:
        """Start a session. Frames are added to the last one."""
        for stage in STAGES:
            self.stage_ms.setdefault(stage, []).append(array("f"))

    def add(self, record: FrameResult) -> None:
        """Count a frame."""
        self.frames += 1
        self.faces += len(record.faces)
        for stage, ms in {"decode": 0.0, **record.stages_ms}.items():  # an array needs no decoding
            self.stage_ms[stage][-1].append(ms)

    def report(self) -> FrameStats:
        """The numbers of a report. Raises CameraError when no frame was counted."""
        if not self.frames:
            raise CameraError("the source ended before any frame could be measured; lower --warmup")
        return {
            "frames": self.frames,
            "faces_per_frame": round(self.faces / self.frames, 2),
            "fps": round(self.frames / self.seconds, 1),
            "cpu_ms_per_frame": round(1000 * self.cpu_seconds / self.frames, 3),
            "stages": summarize_stages(self.stage_ms),
        }


def run_benchmark(config: RunConfig, warmup: int | None, seconds: float | None = None) -> RunReport:
    """Measure the run of `config` over `config.max_frames` frames, or over `seconds`, after its warm-up.

    An image is repeated, in several sessions. Other sources, and a run of `seconds`, are measured in one session.
    `warmup` is a fixed number of frames per session and replaces the warm-up rule. Raises CameraError, and ModelError
    when a model cannot be used or a Coral appears or disappears meanwhile.
    """
    classifier = find_classifier(config.classifier, read_detector_spec(config.detector))
    paths = [path for path in (config.detector, classifier) if path and path != NO_MODEL]
    imported, startups = measure_startup(paths, config.threads, [config.delegate] * len(paths), config.verify)
    samples, telemetry = Samples(), Telemetry(seconds) if seconds else None
    warmups: list[Warmup] = []
    first: float | None = None
    memory: list[Memory] = []
    for frames in _session_frames(config, seconds):
        with open_endless_run(config) as run, require_stable_delegate(run.pipeline.models):
            warm, first_of_session = warm_up(run, warmup)
            if run.sensor_monitor:
                run.sensor_monitor.restart()
            first, warmups = first or first_of_session, [*warmups, warm]
            record_session(run, samples, frames, seconds or inf, telemetry)
            memory.append({"peak": peak_memory_mb(), "final": resident_memory_mb()})
            name, models = run.camera.name, run.pipeline.models
            sensor = run.sensor_monitor.facts() if run.sensor_monitor else None
            if run.stop.is_set():  # after a signal, report the frames so far
                break
    return {
        **report_header("run"),
        "source": name,
        "source_sha256": source_sha256(config.camera),
        "models": [
            {**model_properties(path, model), **startup}
            for path, model, startup in zip(paths, models, startups, strict=True)
        ],
        "runtime_import_ms": imported,
        "first_frame_ms": first,
        "warmup": summarize_warmup(warmups),
        **samples.report(),
        "memory_mb": memory[0],  # `pocketsight run` opens everything once, too
        "telemetry": telemetry.rows if telemetry else [],
        "operators": [],
        "accelerator": sensor,
        "samples_ms": {stage: subsample(ms) for stage, ms in samples.stage_ms.items() if any(ms)},
    }


def _session_frames(config: RunConfig, seconds: float | None) -> Sequence[float]:
    """Frames to count in each session; infinity where the source or `seconds` ends it."""
    if seconds:
        return [inf]
    if is_image_file(config.camera):
        return frames_per_session(config.max_frames or 1)
    return [config.max_frames or inf]


@contextmanager
def open_endless_run(config: RunConfig) -> Iterator[Run]:
    """A run of `config` that repeats an image for ever. Its log goes into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        endless = replace(config, log=(f"{folder}/bench.jsonl",), max_frames=None)
        with open_run(endless, repeat_image(config.camera)) as run:
            yield run


@contextmanager
def require_stable_delegate(models: Sequence[Model]) -> Iterator[None]:
    """Raise ModelError when a Coral appears or disappears meanwhile: the times would be of two devices."""
    before = count_switches(models)
    yield
    if count_switches(models) != before:
        raise ModelError(
            "a Coral appeared or disappeared during the measurement; measure again, or with --delegate cpu"
        )


def warm_up(run: Run, requested_frames: int | None) -> tuple[Warmup, float | None]:
    """Warm a run up; returns the warm-up and the ms of its first frame. Uses at most a fifth of a file's frames."""
    warm = Warmup(requested_frames, None if run.camera.frame_count is None else run.camera.frame_count // 5)
    first = None
    if not warm.done:
        for record in iter_run_results(run):
            warm.add(record.stages_ms["total"], time.perf_counter())
            first = first or round(record.stages_ms["total"], 3)
            if warm.done:
                break
    return warm, first


def record_session(
    run: Run, samples: Samples, frames: float, seconds: float = inf, telemetry: Telemetry | None = None, skip: int = 0
) -> None:
    """Record a session of `frames` frames or `seconds`, whichever ends first, after `skip` frames."""
    samples.begin_session()
    _skip_frames(run, skip)
    start, cpu = time.perf_counter(), time.process_time()
    goal = samples.frames + frames
    for record in iter_run_results(run, start + seconds):
        samples.add(record)
        if telemetry:
            telemetry.add_frame(record.stages_ms["total"], time.perf_counter() - start)
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
    """The results of a run, frame by frame, until its source ends or time.perf_counter() reaches `deadline`."""
    frame_count = run.summary.frames
    while time.perf_counter() < deadline and run.step(_no_heartbeat):
        if run.summary.frames > frame_count and run.status.latest:
            frame_count = run.summary.frames
            yield run.status.latest


def is_image_file(source: str) -> bool:
    """Whether a source is one image, which can be repeated."""
    return is_image_name(source) and not Path(source).is_dir()


def repeat_image(source: str) -> Camera | None:
    """A camera that repeats one image; None where the source is something else. Raises CameraError."""
    if not is_image_file(source):
        return None
    image = read_image(Path(source))
    return Camera((Frame(image, index, time.time()) for index in count()), source)


def _no_heartbeat(phase: str) -> None:
    """The heartbeat of a run without a watchdog."""
