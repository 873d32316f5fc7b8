"""How often the label of a face changes while the face does not, and how late it follows a face that does.

    python scripts/benchmarks/label_stability.py FACES...              # pictures, or folders of them; class folders for the second figure
    python scripts/benchmarks/label_stability.py FACES... --sweep      # both figures for other values of memory, slack and dwell

Each picture becomes a still video as a camera on a shaky table sees it: noise, light that comes and goes, JPEG. It goes
through the pipeline of `pocketsight run`. The same seed gives the same frames.
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
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from pocketsight.device.camera import Frame
from pocketsight.device.errors import DataError, PocketsightError
from pocketsight.device.inference.classifier import (
    FACE_CROP_MARGIN,
    Probabilities,
    predict_probabilities,
    to_classification,
)
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model, load_on_cpu
from pocketsight.device.inference.manifest import ModelSpec, SmoothingConfig
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.device.results import FrameResult
from pocketsight.device.runtime.pipeline import Pipeline
from pocketsight.device.system.stage_timer import StageTimer
from pocketsight.device.tracking.smoother import LabelSmoother
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image, list_images, read_image, to_rgb
from pocketsight.device.vision.resize import resize
from pocketsight.train.console import progress_bar

SIZE = 240, 320
FACE_SIDE_RANGE = 64, 120  # pixels of the longer side of a face in the frame
SUBPIXELS = 4  # parts of a pixel by which the camera moves
SHAKE_PX = 0.5  # pixels, standard deviation; at most one
NOISE_STD = 5.0  # levels of noise in a middle grey, standard deviation, before JPEG
LIGHT_WAVES = (0.03, 1 / 7), (0.02, 1.1)  # share and hertz of the two waves of the light: a slow one, and a lamp's beat
JPEG_QUALITY = 80  # of JPEG
SETTLE_SECONDS = 1.0  # seconds after which a label has no excuse
SECONDS_BEFORE_CHANGE, SECONDS_AFTER_CHANGE = 4.0, 6.0  # seconds of the two faces of a change
SWEEP = {"memory": (0.3, 0.6, 1.0, 1.5), "slack": (0.06, 0.12, 0.2), "dwell": (0.2, 0.4, 0.8)}


class Observation(NamedTuple):
    """The face in one frame."""

    at: float  # seconds
    track: int
    probabilities: Probabilities  # (classes,): of this frame alone
    label: str  # by the pipeline


ObservationSequence = list[Observation | None]  # a frame each; None where the face was not found


class SimulatedCamera:
    """Takes frames of a scene; what it adds depends on the seed alone."""

    def __init__(self, seed: int, fps: float) -> None:
        self.rng, self.fps = np.random.default_rng(seed), fps
        self.noise = self.rng.normal(0, NOISE_STD, (SIZE[0] + 64, SIZE[1] + 64, 3)).astype(np.float32)
        self.phases = self.rng.uniform(0, 2 * math.pi, len(LIGHT_WAVES)).tolist()

    def capture(self, scene: Image, number: int) -> Frame:
        """Frame `number` of a scene, FINE times as large as SIZE with a margin of a pixel."""
        y, x = (
            int(np.clip(round(SUBPIXELS * (1 + move)), 0, 2 * SUBPIXELS)) for move in self.rng.normal(0, SHAKE_PX, 2)
        )
        seen = resize(scene[y : y + SUBPIXELS * SIZE[0], x : x + SUBPIXELS * SIZE[1]], SIZE).astype(np.float32)
        waves = zip(LIGHT_WAVES, self.phases, strict=True)
        seen *= 1 + sum(a * math.sin(2 * math.pi * hz * number / self.fps + phase) for (a, hz), phase in waves)
        top, left = self.rng.integers(0, 64, 2)
        seen += self.noise[top : top + SIZE[0], left : left + SIZE[1]] * np.sqrt(seen / 128 + 0.1)  # of light itself
        levels = to_rgb(np.clip(seen + 0.5, 0, 255).astype(np.uint8))
        jpeg = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        image = to_rgb(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8))
        return Frame(image, number, number / self.fps, captured_monotonic=number / self.fps)


def make_scene(picture: Image, side: float, detector: Model) -> Image:
    """A picture with its face in the middle, `side` pixels long, on a blurred ground; for `Camera.take`.

    Where the detector finds no face the picture is taken for a crop of one.
    """
    rows, columns = (SUBPIXELS * (length + 2) for length in SIZE)
    height, width = picture.shape[:2]
    found = detect(picture, detector)
    box = found[0].box if found else Box(0, 0, width, height)
    scale = SUBPIXELS * side / box.longer_side * (1 if found else 1 + 2 * FACE_CROP_MARGIN)
    x, y = box.center
    left, top = max(0, int(x - columns / 2 / scale)), max(0, int(y - rows / 2 / scale))
    seen = picture[top : math.ceil(y + rows / 2 / scale), left : math.ceil(x + columns / 2 / scale)]
    pasted = resize(seen, (max(1, round(seen.shape[0] * scale)), max(1, round(seen.shape[1] * scale))))
    left, top = round(columns / 2 - scale * (x - left)), round(rows / 2 - scale * (y - top))
    scene = resize(resize(picture, (3, 4)), (rows, columns))
    inside = scene[max(top, 0) : top + pasted.shape[0], max(left, 0) : left + pasted.shape[1]]
    inside[:] = pasted[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]]
    return scene


def run_pipeline(frames: Iterator[Frame], detector: Model, sentiment: Model) -> ObservationSequence:
    """What the pipeline makes of the face in the middle of each frame."""
    odds: list[Probabilities] = []

    def recording_model(face: Image) -> Any:
        outputs = sentiment.infer(face)
        odds.append(
            predict_probabilities(face, Box(0, 0, *face.shape[1::-1]), Model(lambda again: outputs, sentiment.spec))
        )
        return outputs

    pipeline = Pipeline(detector, Model(recording_model, sentiment.spec))
    film: ObservationSequence = []
    for frame in frames:
        odds.clear()
        film.append(center_face(pipeline.process(frame, StageTimer()), odds))
    return film


def center_face(record: FrameResult, odds: Sequence[Probabilities]) -> Observation | None:
    """The face whose box holds the middle of the frame; faces and odds come in the same order."""
    y, x = SIZE[0] / 2, SIZE[1] / 2
    for face, found in zip(record.faces, odds, strict=True):
        left, top, right, bottom = face.box
        if left <= x <= right and top <= y <= bottom and face.track_id is not None and face.classification:
            return Observation(record.captured_monotonic, face.track_id, found, face.classification.label)
    return None


def raw_labels(film: ObservationSequence, spec: ModelSpec) -> list[tuple[float, str]]:
    """When each frame was, and what is said of it by itself."""
    return [(glance.at, to_classification(glance.probabilities, spec).label) for glance in film if glance]


def smoothed_labels(film: ObservationSequence) -> list[tuple[float, str]]:
    """The same, and what the pipeline said."""
    return [(glance.at, glance.label) for glance in film if glance]


def replay(film: ObservationSequence, spec: ModelSpec) -> ObservationSequence:
    """What the pipeline would have said with another spec."""
    smoothers: dict[int, LabelSmoother] = {}
    again: ObservationSequence = []
    for glance in film:
        if glance:
            keeper = smoothers.setdefault(glance.track, LabelSmoother(spec))
            glance = glance._replace(said=keeper.update(glance.probabilities, glance.at).label)
        again.append(glance)
    return again


def label_change_rates(films: Sequence[list[tuple[float, str]]]) -> dict[str, float]:
    """Changes a minute after the face has been seen for a second; the share of faces with one label from then on."""
    rates, single = [], 0
    for film in films:
        said = [label for at, label in film if at >= film[0][0] + SETTLE_SECONDS]
        changes = sum(a != b for a, b in pairwise(said))
        single += not changes
        rates.append(60 * changes / max(film[-1][0] - film[0][0] - SETTLE_SECONDS, 1.0))
    return {"changes_a_minute": float(np.mean(rates)), "worst": max(rates), "one_label": single / len(films)}


def label_delays(films: Sequence[ObservationSequence], spec: ModelSpec) -> dict[str, Any]:
    """How long the label takes to follow, of films of two faces that mostly get two labels frame by frame."""
    waits = []
    for film in films:
        lone = raw_labels(film, spec)
        parts = [[label for at, label in lone if (at >= SECONDS_BEFORE_CHANGE) is late] for late in (False, True)]
        if not all(parts) or len({glance.track for glance in film if glance}) > 1:
            continue
        first, second = (Counter(part).most_common(1)[0][0] for part in parts)
        if first != second and {first, second} <= set(spec.reported_labels):
            said = (
                at - SECONDS_BEFORE_CHANGE
                for at, label in smoothed_labels(film)
                if at >= SECONDS_BEFORE_CHANGE and label == second
            )
            waits.append(next(said, math.inf))
    followed = sorted(wait for wait in waits if wait < math.inf)
    delay = {"median": float(np.median(followed)), "longest": followed[-1]} if followed else {}
    return {"films": len(waits), "followed": len(followed)} | delay


def simulate_videos(
    faces: Sequence[tuple[Path, ...]], seconds: float, fps: float, seed: int, models: tuple[Model, Model]
) -> list[ObservationSequence]:
    """A film of each: of one face, or of two, the second in the place of the first from BEFORE on."""
    found = []
    for number, paths in enumerate(progress_bar(faces, description="filming")):
        camera = SimulatedCamera(seed + number, fps)
        side = camera.rng.uniform(*FACE_SIDE_RANGE)
        scenes = [make_scene(read_image(path), side, models[0]) for path in paths]
        when = range(round(seconds * fps))
        found.append(
            run_pipeline(
                (camera.capture(scenes[-1 if n >= SECONDS_BEFORE_CHANGE * fps else 0], n) for n in when), *models
            )
        )
    return found


def compute_metrics(
    still: Sequence[ObservationSequence], turning: Sequence[ObservationSequence], spec: ModelSpec
) -> dict[str, Any]:
    """All figures, of what is said frame by frame and of what the pipeline says."""
    seen = [film for film in still if len([glance for glance in film if glance]) > 1]
    if not seen:
        raise DataError("the detector found none of the faces; are they smaller than 16 pixels, or no faces?")
    frames = sum(map(len, seen))
    return {
        "never_found": len(still) - len(seen),
        "missed": 1 - sum(glance is not None for film in seen for glance in film) / frames,
        "ids_changed": sum(len({glance.track for glance in film if glance}) - 1 for film in seen),
        "alone": label_change_rates([raw_labels(film, spec) for film in seen]),
        "steady": label_change_rates([smoothed_labels(film) for film in seen]),
        "delay": label_delays(turning, spec),
    }


def sweep_smoothing(
    still: Sequence[ObservationSequence], turning: Sequence[ObservationSequence], spec: ModelSpec
) -> list[dict[str, Any]]:
    """The figures of "steady" for other values, told from the same odds."""
    rows = []
    for values in progress_bar(list(product(*SWEEP.values())), description="sweep"):
        steadiness = SmoothingConfig(**dict(zip(SWEEP, values, strict=True)))
        other = replace(spec, steadiness=steadiness)
        found = compute_metrics([replay(f, other) for f in still], [replay(f, other) for f in turning], other)
        rows.append(vars(steadiness) | found["steady"] | found["delay"])
    return rows


def alternating_pairs(paths: Sequence[Path], answers: Sequence[str], max_pairs: int) -> list[tuple[Path, Path]]:
    """Pairs of the first two answers, by the names of their folders; every second pair the other way round."""
    first, second = ([path for path in paths if path.parent.name == answer] for answer in (*answers, "", "")[:2])
    pairs = list(zip(first, second, strict=False))[:max_pairs]
    return [pair if number % 2 else pair[::-1] for number, pair in enumerate(pairs)]


def format_table(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """For people."""
    drawn = Table(title=title, title_justify="left")
    for key in rows[0]:
        drawn.add_column(key.replace("_", " "), justify="left" if key == "label" else "right")
    for row in rows:
        drawn.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    return drawn


def print_report(found: dict[str, Any]) -> None:
    """The figures for people."""
    out, delay = Console(soft_wrap=True), found["delay"]
    values = ", ".join(f"{key} {value:g}" for key, value in found["steadiness"].items())
    rows = [{"label": "each frame by itself"} | found["alone"], {"label": "over time"} | found["steady"]]
    out.print(format_table(rows, f"{found['faces']} still faces, {found['seconds']:g} s each at {found['fps']:g} fps"))
    out.print(
        f"with {values}; not found in {found['missed']:.1%} of the frames, {found['never_found']} faces never; "
        f"another number given {found['ids_changed']} times"
    )
    if delay["followed"]:
        out.print(
            f"a face that changes: followed in {delay['followed']} of {delay['films']} films, after "
            f"{delay['median']:.2f} s (median), {delay['longest']:.2f} s at most"
        )
    if "sweep" in found:
        out.print(format_table(found["sweep"], "with other values"))


@click.command()
@click.argument("faces", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--detector", type=click.Path(path_type=Path), default=MODELS_DIR / "detector.tflite")
@click.option("--classifier", type=click.Path(path_type=Path), default=MODELS_DIR / "sentiment.tflite")
@click.option("--count", default=40, show_default=True, help="Still faces at most, and half as many that change.")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(2), help="Of each still video.")
@click.option("--fps", default=10.0, show_default=True, type=click.FloatRange(1, 100))
@click.option("--seed", default=0, show_default=True)
@click.option("--sweep", "swept", is_flag=True, help="Other values of memory, slack and dwell too.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
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
    """Changes a minute of the label of faces that do not change, and how late it follows those that do."""
    try:
        models = load_on_cpu(detector, "detector", threads=1), load_on_cpu(classifier, "classifier", threads=1)
        spec = models[1].spec
        paths = [path for given in faces for path in (list_images(given) if given.is_dir() else [given])]
        if not paths:
            raise DataError(f"there are no pictures in {', '.join(map(str, faces))}")
        random.Random(seed).shuffle(paths)
        still = simulate_videos([(path,) for path in paths[:count]], seconds, fps, seed, models)
        turning = simulate_videos(
            alternating_pairs(paths, spec.reported_labels, count // 2),
            SECONDS_BEFORE_CHANGE + SECONDS_AFTER_CHANGE,
            fps,
            seed,
            models,
        )
        told = {"faces": len(still), "seconds": seconds, "fps": fps, "seed": seed}
        found = told | compute_metrics(still, turning, spec) | {"steadiness": vars(spec.smoothing)}
        if swept:
            found["sweep"] = sweep_smoothing(still, turning, spec)
    except PocketsightError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(found, indent=1)) if as_json else print_report(found)


if __name__ == "__main__":
    main()
