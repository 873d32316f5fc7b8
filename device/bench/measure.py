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

from pocketsight.device.bench.machine import facts, memory, peak_memory, report, source_sum
from pocketsight.device.bench.start import first_steps
from pocketsight.device.bench.statistics import kept, shares, summary
from pocketsight.device.bench.sustained import Looks
from pocketsight.device.bench.warmup import Warmup, warmed
from pocketsight.device.camera import Camera, Frame
from pocketsight.device.edgetpu import changes
from pocketsight.device.errors import CameraError, ModelError
from pocketsight.device.image import SUFFIXES, read_image
from pocketsight.device.interpreter import Loaded
from pocketsight.device.pipeline import STAGES
from pocketsight.device.plan import Plan
from pocketsight.device.record import Record
from pocketsight.device.run import Run, watching


@dataclass
class Tally:
    """What the frames that count took."""

    frames: int = 0
    faces: int = 0
    seconds: float = 0.0
    cpu: float = 0.0  # seconds, of all threads
    times: dict[str, list[array[float]]] = field(default_factory=dict)  # stage -> ms, an array a sitting

    def sit(self) -> None:
        """Begin a sitting."""
        for stage in STAGES:
            self.times.setdefault(stage, []).append(array("f"))

    def add(self, record: Record) -> None:
        self.frames += 1
        self.faces += len(record.faces)
        for stage, ms in record.ms.items():
            self.times[stage][-1].append(ms)

    def report(self) -> dict[str, Any]:
        """Raises CameraError when nothing was counted."""
        if not self.frames:
            raise CameraError("the source ended before anything could be measured; lower --warmup")
        return {
            "frames": self.frames,
            "faces_a_frame": round(self.faces / self.frames, 2),
            "frames_a_second": round(self.frames / self.seconds, 1),
            "cpu_ms_a_frame": round(1000 * self.cpu / self.frames, 3),
            "stages": summary(self.times),
        }


def measure(plan: Plan, warmup: int | None, seconds: float | None = None) -> dict[str, Any]:
    """Do what `pocketsight run` does with `plan`; count `plan.frames` frames, or `seconds`, once it is warm.

    A picture comes again and again, in several sittings; what is no picture, or goes on for `seconds`, is measured in
    one. `warmup` is a number of frames a sitting, in place of the rule. Returns the report "run" of bench/README.md.
    """
    paths = plan.detector, plan.sentiment
    imported, steps = first_steps(paths, plan.threads, [plan.delegate] * len(paths), plan.verify)
    tally, looks = Tally(), Looks(seconds) if seconds else None
    goals = shares(plan.frames or 1) if is_picture(plan.camera) and not seconds else [plan.frames]
    warm: list[Warmup] = []
    first, held = None, None
    for goal in goals:
        with opened(plan) as run, steady((run.pipeline.detector, run.pipeline.sentiment)):
            found, begin = warm_up(run, warmup)
            first, warm = first or begin, [*warm, found]
            collect(run, tally, inf if seconds else goal or inf, seconds or inf, looks)
            held = held or {"peak": peak_memory(), "steady": memory()}  # of one run, as `pocketsight run` is
            name, loaded = run.camera.name, (run.pipeline.detector, run.pipeline.sentiment)
            if run.stop.is_set():  # by a signal: what is there counts
                break
    models = [{**facts(path, model), **step} for path, model, step in zip(paths, loaded, steps, strict=True)]
    return {
        **report("run"), "source": name, "source_sha256": source_sum(plan.camera), "models": models,
        "import_ms": imported, "first_frame_ms": first, "warmup": warmed(warm), **tally.report(),
        "memory_mb": held,
        **({"over_time": looks.rows} if looks else {}),
        "samples": {stage: kept(ms) for stage, ms in tally.times.items() if any(ms)},
    }  # fmt: skip


@contextmanager
def opened(plan: Plan) -> Iterator[Run]:
    """A run of `plan` that does not end by itself, with a log that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        endless = replace(plan, log=(f"{folder}/bench.jsonl",), frames=None)
        with watching(endless, again(plan.camera)) as run:
            yield run


@contextmanager
def steady(models: Sequence[Loaded]) -> Iterator[None]:
    """Raise ModelError when a Coral comes or goes meanwhile: times of two machines are no times."""
    before = changes(models)
    yield
    if changes(models) != before:
        raise ModelError("a Coral came or went while it was measured; measure again, or with --delegate cpu")


def warm_up(run: Run, asked: int | None) -> tuple[Warmup, float | None]:
    """Let a run become warm, and tell what its first frame took in ms. Of a file at most a fifth goes into it."""
    warm = Warmup(asked, None if run.camera.length is None else run.camera.length // 5)
    first = None
    if not warm.done:
        for record in records(run):
            warm.add(record.ms["whole"], time.perf_counter())
            first = first or round(record.ms["whole"], 3)
            if warm.done:
                break
    return warm, first


def collect(
    run: Run, tally: Tally, frames: float, seconds: float = inf, looks: Looks | None = None, skip: int = 0
) -> None:  # fmt: skip
    """A sitting: count so many frames of a run, or those of so many seconds, after the first `skip`."""
    tally.sit()
    _drop(run, skip)
    begun, cpu = time.perf_counter(), time.process_time()
    goal = tally.frames + frames
    for record in records(run, begun + seconds):
        tally.add(record)
        if looks:
            looks.frame(record.ms["whole"], time.perf_counter() - begun)
        if tally.frames >= goal:
            break
    tally.seconds += time.perf_counter() - begun
    tally.cpu += time.process_time() - cpu


def _drop(run: Run, frames: int) -> None:
    if frames:
        for number, _ in enumerate(records(run), 1):
            if number == frames:
                break


def records(run: Run, until: float = inf) -> Iterator[Record]:
    """What a run sees, frame by frame, until its source ends or the clock says `until`."""
    seen = run.watched.frames
    while time.perf_counter() < until and run.step(_no_beat):
        if run.watched.frames > seen and run.state.latest:
            seen = run.watched.frames
            yield run.state.latest


def is_picture(source: str) -> bool:
    """Whether a source is one picture, which may come again and again."""
    return Path(source).suffix.lower() in SUFFIXES and not Path(source).is_dir()


def again(source: str) -> Camera | None:
    """One picture, again and again; None where the source is something else."""
    if not is_picture(source):
        return None
    image = read_image(Path(source))
    return Camera((Frame(image, index, time.time()) for index in count()), source)


def _no_beat(doing: str) -> None:
    """No watchdog."""
