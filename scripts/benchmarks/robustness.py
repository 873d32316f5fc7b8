"""The accuracy of a face classifier under image corruptions, as a table.

    python scripts/benchmarks/robustness.py models/sentiment.tflite --data fer2013/test \\
        --soft-labels fer2013/test/ferplus.csv

The boxes come from the shipped detector and are then shifted, scaled or rotated. The images are darkened, blurred or
covered. Each row holds the same images, with one corruption of one severity.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from pocketsight.device.errors import PocketsightError
from pocketsight.device.inference.classifier import Classification, to_classification, to_probabilities
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.resize import resize
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.augmentation import draw_mask
from pocketsight.train.datasets.classification import (
    ClassificationSample,
    get_face_box,
    iter_readable,
    read_classification_dataset,
)
from pocketsight.train.datasets.face_alignment import apply_training_alignment
from pocketsight.train.evaluation.classifier import Prediction, compare_with_truth, compute_classifier_metrics
from pocketsight.train.evaluation.evaluate import open_model

PATH = click.Path(path_type=Path)
METRICS = "accuracy", "balanced_accuracy", "unsure_rate", "labeled_accuracy", "reject_label_rate"
CropFn = Callable[[Image, Box, np.random.Generator], Image]  # image and box -> input of the classifier


@dataclass(frozen=True)
class Corruption:
    """One row: the corruption, its severity, and the crop function that applies it."""

    name: str
    severity: str
    crop: CropFn


def corruptions(model: Model) -> Iterator[Corruption]:
    """Every row of the table, for the crop margin and input size of a model."""
    spec = model.spec

    def plain(image: Image, box: Box) -> Image:
        return crop_face(image, box, spec.crop_margin, spec.input_size)

    def after(change: Callable[[Image, np.random.Generator], Image]) -> CropFn:
        return lambda image, box, rng: change(plain(image, box), rng)

    yield Corruption("none", "", lambda image, box, rng: plain(image, box))
    for share in (0.05, 0.1, 0.15, 0.2):
        yield Corruption("box shifted", f"{share:.0%}", lambda i, b, r, s=share: plain(i, shift_box(b, s, r)))
    for scale in (0.75, 0.85, 1.15, 1.3):
        yield Corruption("box scaled", f"x{scale:g}", lambda i, b, r, s=scale: plain(i, scale_box(b, s)))
    for degrees in (10, 20, 30):
        yield Corruption("face rotated", f"{degrees}°", lambda i, b, r, d=degrees: plain(rotate_image(i, b, d, r), b))
    for side in (32, 24, 16):
        yield Corruption(
            "small face", f"{side} px", after(lambda f, r, s=side: downscale(f, round(s * (1 + 2 * spec.crop_margin))))
        )
    for sigma in (1.0, 2.0):
        yield Corruption(
            "blurred", f"sigma {sigma:g} px of {spec.input_size[0]}", after(lambda f, r, s=sigma: blur(f, s))
        )
    for light in (0.5, 0.25, 0.12):
        yield Corruption("low light", f"{light:.0%}, noise 6", after(lambda f, r, a=light: darken(f, a, r)))
    yield Corruption("grayscale", "", after(lambda f, r: to_gray(f)))
    yield Corruption("sunglasses", "", after(lambda f, r: cover_band(f, 0.22, 0.45)))
    yield Corruption("hand in front of the mouth", "", after(lambda f, r: cover_band(f, 0.6, 0.95)))
    yield Corruption("half hidden", "left", after(lambda f, r: cover_left_half(f)))
    yield Corruption("mask drawn", "", after(lambda f, r: draw_mask(f, spec.crop_margin, r)))


def shift_box(box: Box, share: float, rng: np.random.Generator) -> Box:
    """The box shifted by a share of its longer side, in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    distance = share * box.longer_side
    x, y = distance * np.cos(angle), distance * np.sin(angle)
    return Box(box.left + x, box.top + y, box.right + x, box.bottom + y)


def scale_box(box: Box, scale: float) -> Box:
    """The box scaled around its center."""
    x, y = box.center
    w, h = box.width * scale / 2, box.height * scale / 2
    return Box(x - w, y - h, x + w, y + h)


def rotate_image(image: Image, box: Box, degrees: float, rng: np.random.Generator) -> Image:
    """The image rotated around the center of the box, clockwise or counterclockwise."""
    matrix = cv2.getRotationMatrix2D(box.center, degrees * rng.choice([-1, 1]), 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1]), np.uint8)


def downscale(face: Image, side: int) -> Image:
    """The crop as a smaller image shows it: scaled down to `side` pixels and up again."""
    return resize(resize(face, (side, side)), face.shape[:2])


def blur(face: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(face, (0, 0), sigma), np.uint8)


def darken(face: Image, share: float, rng: np.random.Generator) -> Image:
    """The crop with a share of the light, and the noise of a cheap camera: 6 gray levels."""
    return np.clip(face * share + rng.normal(0, 6, face.shape), 0, 255).astype(np.uint8)


def to_gray(face: Image) -> Image:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def cover_band(face: Image, top: float, bottom: float) -> Image:
    """The crop with a dark horizontal band between two shares of the height."""
    covered, height = face.copy(), face.shape[0]
    covered[round(top * height) : round(bottom * height), face.shape[1] // 8 : -face.shape[1] // 8] = 30
    return covered


def cover_left_half(face: Image) -> Image:
    covered = face.copy()
    covered[:, : face.shape[1] // 2] = 90
    return covered


def score_corruptions(model: Model, samples: Sequence[ClassificationSample], by_votes: bool) -> list[dict[str, Any]]:
    """The metrics of each row."""
    skipped: list[str] = []
    images = list(iter_readable(samples, skipped))
    rows = []
    for row in progress_bar(list(corruptions(model)), description="corruptions"):
        rng = np.random.default_rng(0)
        predictions = [
            Prediction(p, classify_crop(model, row.crop(image, get_face_box(p, image), rng))) for p, image in images
        ]
        outcomes = compare_with_truth(predictions, len(model.spec.reported_labels), by_votes)
        metrics = compute_classifier_metrics(outcomes, model.spec)
        rows.append({"corruption": row.name, "severity": row.severity} | {key: metrics[key] for key in METRICS})
    return rows


def classify_crop(model: Model, face: Image) -> Classification:
    """The board's classification of a crop."""
    return to_classification(to_probabilities(model.infer(face), model.spec.temperature), model.spec)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("corruption", *(key.replace("_", " ") for key in METRICS))
    for row in rows:
        cells = ("" if row[key] is None else f"{row[key]:.1%}" for key in METRICS)
        table.add_row(f"{row['corruption']} {row['severity']}", *cells)
    Console(width=120).print(table)


@click.command()
@click.argument("model", type=PATH)
@click.option("--data", type=PATH, multiple=True, required=True, help="As in pocketsight evaluate.")
@click.option("--soft-labels", type=PATH, multiple=True, help="As in pocketsight evaluate.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(model: Path, data: tuple[Path, ...], soft_labels: tuple[Path, ...], as_json: bool) -> None:
    """Score a model on the same faces under each corruption."""
    loaded = open_model(model)
    labels = loaded.spec.reported_labels
    splits = read_classification_dataset(list(data), list(soft_labels), labels, default_split="test").splits
    samples = apply_training_alignment(splits.get("test") or next(iter(splits.values())), loaded.spec)
    rows = score_corruptions(loaded, samples, bool(soft_labels))
    click.echo(json.dumps(rows, indent=2)) if as_json else print_table(rows)


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except PocketsightError as error:
        raise SystemExit(f"Error: {error}") from None
