"""How often the label of an unchanging face changes, and how late it follows a face that changes.

    python scripts/benchmarks/label_stability.py FACES...           # images or folders; class folders for the delay
    python scripts/benchmarks/label_stability.py FACES... --sweep   # both metrics for other smoothing parameters

Each image becomes a video as a camera on a shaky table records it: noise, changing light, JPEG. The video goes through
the pipeline of `pocketsight run`. The same seed gives the same frames.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from simulated_camera import SIZE, SimulatedCamera, make_scene

from pocketsight.device.camera import Frame
from pocketsight.device.errors import DataError, PocketsightError
from pocketsight.device.inference.classifier import Probabilities, predict_probabilities, to_classification
from pocketsight.device.inference.interpreter import Model, load_on_cpu
from pocketsight.device.inference.manifest import ModelSpec, SmoothingConfig
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.device.results import FrameResult
from pocketsight.device.runtime.pipeline import Pipeline
from pocketsight.device.system.stage_timer import StageTimer
from pocketsight.device.tracking.smoother import LabelSmoother
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image, list_images, read_image
from pocketsight.train.console import progress_bar

FACE_SIDE_RANGE = 64, 120  # longer side of a face in the frame, in pixels
SETTLE_SECONDS = 1.0  # label changes before this do not count
SECONDS_BEFORE_CHANGE, SECONDS_AFTER_CHANGE = 4.0, 6.0  # how long the two faces of a changing video are shown
SWEEP = {"time_constant": (0.3, 0.6, 1.0, 1.5), "hysteresis": (0.06, 0.12, 0.2), "min_duration": (0.2, 0.4, 0.8)}


class Observation(NamedTuple):
    """The face in one frame."""

    time: float  # seconds
    track_id: int
    probabilities: Probabilities  # (classes,), of this frame alone
    label: str  # the pipeline's, smoothed over time


ObservationSequence = list[Observation | None]  # one per frame; None where the face was not detected


def run_pipeline(frames: Iterator[Frame], detector: Model, classifier: Model) -> ObservationSequence:
    """The pipeline's result for the face in the middle of each frame."""
    probabilities: list[Probabilities] = []

    def recording_model(face: Image) -> Any:
        outputs = classifier.infer(face)
        replayed = Model(lambda _: outputs, classifier.spec)
        probabilities.append(predict_probabilities(face, Box(0, 0, *face.shape[1::-1]), replayed))
        return outputs

    pipeline = Pipeline(detector, Model(recording_model, classifier.spec))
    video: ObservationSequence = []
    for frame in frames:
        probabilities.clear()
        video.append(center_face(pipeline.process(frame, StageTimer()), probabilities))
    return video


def center_face(result: FrameResult, probabilities: Sequence[Probabilities]) -> Observation | None:
    """The face whose box holds the middle of the frame; faces and probabilities have the same order."""
    y, x = SIZE[0] / 2, SIZE[1] / 2
    for face, probability in zip(result.faces, probabilities, strict=True):
        left, top, right, bottom = face.box
        if left <= x <= right and top <= y <= bottom and face.track_id is not None and face.classification:
            return Observation(result.captured_monotonic, face.track_id, probability, face.classification.label)
    return None


def raw_labels(video: ObservationSequence, spec: ModelSpec) -> list[tuple[float, str]]:
    """The time of each frame, and the label from this frame alone."""
    return [(seen.time, to_classification(seen.probabilities, spec).label) for seen in video if seen]


def smoothed_labels(video: ObservationSequence) -> list[tuple[float, str]]:
    """The time of each frame, and the pipeline's label."""
    return [(seen.time, seen.label) for seen in video if seen]


def replay(video: ObservationSequence, spec: ModelSpec) -> ObservationSequence:
    """The labels that the pipeline gives with another spec."""
    smoothers: dict[int, LabelSmoother] = {}
    replayed: ObservationSequence = []
    for seen in video:
        if seen:
            smoother = smoothers.setdefault(seen.track_id, LabelSmoother(spec))
            seen = seen._replace(label=smoother.update(seen.probabilities, seen.time).label)
        replayed.append(seen)
    return replayed


def label_change_rates(videos: Sequence[list[tuple[float, str]]]) -> dict[str, float]:
    """Label changes per minute after SETTLE_SECONDS, and the share of faces without any."""
    rates, stable = [], 0
    for video in videos:
        labels = [label for time, label in video if time >= video[0][0] + SETTLE_SECONDS]
        changes = sum(a != b for a, b in pairwise(labels))
        stable += not changes
        rates.append(60 * changes / max(video[-1][0] - video[0][0] - SETTLE_SECONDS, 1.0))
    return {"changes_per_minute": float(np.mean(rates)), "max": max(rates), "stable_share": stable / len(videos)}


def label_delays(videos: Sequence[ObservationSequence], spec: ModelSpec) -> dict[str, Any]:
    """The seconds until the label follows, in videos of two faces whose raw labels mostly differ."""
    delays = []
    for video in videos:
        raw = raw_labels(video, spec)
        halves = [[label for time, label in raw if (time >= SECONDS_BEFORE_CHANGE) is late] for late in (False, True)]
        if not all(halves) or len({seen.track_id for seen in video if seen}) > 1:
            continue
        first, second = (Counter(half).most_common(1)[0][0] for half in halves)
        if first != second and {first, second} <= set(spec.reported_labels):
            late = ((time - SECONDS_BEFORE_CHANGE, label) for time, label in smoothed_labels(video))
            delays.append(next((delay for delay, label in late if delay >= 0 and label == second), math.inf))
    followed = sorted(delay for delay in delays if delay < math.inf)
    delay = {"median": float(np.median(followed)), "max": followed[-1]} if followed else {}
    return {"videos": len(delays), "followed": len(followed)} | delay


def simulate_videos(
    faces: Sequence[tuple[Path, ...]], seconds: float, fps: float, seed: int, models: tuple[Model, Model]
) -> list[ObservationSequence]:
    """A video of each: of one face, or of two, where the second replaces the first after SECONDS_BEFORE_CHANGE."""
    videos = []
    for number, paths in enumerate(progress_bar(faces, description="simulating")):
        camera = SimulatedCamera(seed + number, fps)
        side = camera.rng.uniform(*FACE_SIDE_RANGE)
        scenes = [make_scene(read_image(path), side, models[0]) for path in paths]
        change = SECONDS_BEFORE_CHANGE * fps
        frames = (camera.capture(scenes[-1 if n >= change else 0], n) for n in range(round(seconds * fps)))
        videos.append(run_pipeline(frames, *models))
    return videos


def compute_metrics(
    still: Sequence[ObservationSequence], changing: Sequence[ObservationSequence], spec: ModelSpec
) -> dict[str, Any]:
    """All metrics, of the raw labels and of the smoothed ones. Raises DataError if no face was detected."""
    detected = [video for video in still if len([seen for seen in video if seen]) > 1]
    if not detected:
        raise DataError("no face was detected; are the faces smaller than 16 pixels, or not faces?")
    frames = sum(map(len, detected))
    return {
        "never_detected": len(still) - len(detected),
        "miss_rate": 1 - sum(seen is not None for video in detected for seen in video) / frames,
        "id_switches": sum(len({seen.track_id for seen in video if seen}) - 1 for video in detected),
        "raw": label_change_rates([raw_labels(video, spec) for video in detected]),
        "smoothed": label_change_rates([smoothed_labels(video) for video in detected]),
        "delay": label_delays(changing, spec),
    }


def sweep_smoothing(
    still: Sequence[ObservationSequence], changing: Sequence[ObservationSequence], spec: ModelSpec
) -> list[dict[str, Any]]:
    """The smoothed metrics for other parameters, from the same probabilities."""
    rows = []
    for values in progress_bar(list(product(*SWEEP.values())), description="sweep"):
        smoothing = SmoothingConfig(**dict(zip(SWEEP, values, strict=True)))
        other = replace(spec, smoothing=smoothing)
        metrics = compute_metrics([replay(v, other) for v in still], [replay(v, other) for v in changing], other)
        delay = {f"delay_{key}" if key in ("median", "max") else key: v for key, v in metrics["delay"].items()}
        rows.append(vars(smoothing) | metrics["smoothed"] | delay)
    return rows


def alternating_pairs(paths: Sequence[Path], labels: Sequence[str], max_pairs: int) -> list[tuple[Path, Path]]:
    """Pairs of the first two labels, by the names of their folders; every second pair in reverse order."""
    first, second = ([path for path in paths if path.parent.name == label] for label in (*labels, "", "")[:2])
    pairs = list(zip(first, second, strict=False))[:max_pairs]
    return [pair if number % 2 else pair[::-1] for number, pair in enumerate(pairs)]


def format_table(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """Rows as a table for the terminal."""
    table = Table(title=title, title_justify="left")
    for key in rows[0]:
        table.add_column(key.replace("_", " "), justify="left" if key == "label" else "right")
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    return table


def print_report(report: dict[str, Any]) -> None:
    """Print the metrics for the terminal."""
    out, delay = Console(soft_wrap=True), report["delay"]
    values = ", ".join(f"{key} {value:g}" for key, value in report["smoothing"].items())
    rows = [{"label": "raw, each frame alone"} | report["raw"], {"label": "smoothed over time"} | report["smoothed"]]
    title = f"{report['faces']} still faces, {report['seconds']:g} s each at {report['fps']:g} fps"
    out.print(format_table(rows, title))
    out.print(
        f"with {values}; not detected in {report['miss_rate']:.1%} of the frames; {report['never_detected']} faces "
        f"never detected; {report['id_switches']} ID switches"
    )
    if delay["followed"]:
        out.print(
            f"changing faces: the label followed in {delay['followed']} of {delay['videos']} videos, after "
            f"{delay['median']:.2f} s (median), {delay['max']:.2f} s at most"
        )
    if "sweep" in report:
        out.print(format_table(report["sweep"], "other smoothing parameters"))


@click.command()
@click.argument("faces", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--detector", type=click.Path(path_type=Path), default=MODELS_DIR / "detector.tflite")
@click.option("--classifier", type=click.Path(path_type=Path), default=MODELS_DIR / "sentiment.tflite")
@click.option(
    "--count", default=40, show_default=True, help="Maximum number of still faces; half as many changing ones."
)
@click.option(
    "--seconds", default=60.0, show_default=True, type=click.FloatRange(2), help="Length of each still video."
)
@click.option("--fps", default=10.0, show_default=True, type=click.FloatRange(1, 100))
@click.option("--seed", default=0, show_default=True)
@click.option("--sweep", "swept", is_flag=True, help="Also try other smoothing parameters.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    faces: tuple[Path, ...],
    detector: Path,
    classifier: Path,
    count: int,
    seconds: float,
    fps: float,
    seed: int,
    swept: bool,
    as_json: bool,
) -> None:
    """Measure label changes per minute on unchanging faces, and the delay of the label on changing faces."""
    try:
        models = load_on_cpu(detector, "detector", threads=1), load_on_cpu(classifier, "classifier", threads=1)
        spec = models[1].spec
        paths = [path for given in faces for path in (list_images(given) if given.is_dir() else [given])]
        if not paths:
            raise DataError(f"no images in {', '.join(map(str, faces))}")
        random.Random(seed).shuffle(paths)
        still = simulate_videos([(path,) for path in paths[:count]], seconds, fps, seed, models)
        pairs = alternating_pairs(paths, spec.reported_labels, count // 2)
        changing = simulate_videos(pairs, SECONDS_BEFORE_CHANGE + SECONDS_AFTER_CHANGE, fps, seed, models)
        settings = {"faces": len(still), "seconds": seconds, "fps": fps, "seed": seed}
        report = settings | compute_metrics(still, changing, spec) | {"smoothing": vars(spec.smoothing)}
        if swept:
            report["sweep"] = sweep_smoothing(still, changing, spec)
    except PocketsightError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(report, indent=1)) if as_json else print_report(report)


if __name__ == "__main__":
    main()
