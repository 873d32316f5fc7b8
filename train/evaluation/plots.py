"""Plots and image sheets of a training or an evaluation, as PNG files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.annotators.labels import GRAY
from pocketsight.device.errors import DataError
from pocketsight.device.system.surrogates import replace_surrogates
from pocketsight.device.vision.image import Image, read_image, write_png
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.contact_sheet import BLUE, GREEN, ORANGE, RED, contact_sheet, draw_boxes, write_contact_sheet
from pocketsight.train.datasets.classification import ClassificationBatches
from pocketsight.train.datasets.detection_batches import DetectionBatches
from pocketsight.train.evaluation.classifier import Outcomes, Prediction
from pocketsight.train.evaluation.matching import ImageResult, partition_detections
from pocketsight.train.evaluation.reports import ClassifierScores, DetectorScores

TILE_SIZE = 192, 256  # height, width


def pyplot() -> Any:
    """matplotlib.pyplot with a backend that needs no screen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


@contextmanager
def _axes(target: Path, size: tuple[float, float], grid: bool = True) -> Iterator[tuple[Any, Any]]:
    """A figure of `size` inches and its axes; written to `target` at the end."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    try:
        yield figure, axes
        if grid:
            axes.grid(alpha=0.3)
        figure.savefig(target, dpi=110)
    finally:
        plt.close(figure)


def plot_loss_curves(history: Path, target: Path) -> None:
    """Training and validation loss by epoch. `history` is the history.csv of a run folder."""
    with history.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    epochs = [int(row["epoch"]) + 1 for row in rows]
    with _axes(target, (7, 4)) as (_, axes):
        axes.plot(epochs, [float(row["loss"]) for row in rows], label="training, augmented")
        axes.plot(epochs, [float(row["val_loss"]) for row in rows], label="validation, averaged weights")
        axes.set(xlabel="epoch", ylabel="loss", title="loss by epoch")
        axes.legend()


def plot_precision_recall(scores: DetectorScores, target: Path) -> None:
    """The detector's curve at IoU 0.5, with its threshold marked."""
    curve = scores["curve"]
    with _axes(target, (5, 4.5)) as (_, axes):
        axes.plot(curve["recall"], curve["precision"])
        axes.plot(scores["recall"], scores["precision"], "o", label=f"threshold {scores['threshold']:.2f}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=f"AP50 {scores['ap50']:.3f}")
        axes.legend(loc="lower left")


def plot_detector_thresholds(scores: DetectorScores, target: Path) -> None:
    """Precision and recall at other thresholds."""
    table = scores["tradeoff"]
    shown = [n for n, (p, r) in enumerate(zip(table["precision"], table["recall"], strict=True)) if p or r]
    lines = {name: [table[name][n] for n in shown] for name in ("precision", "recall")}
    _plot_thresholds([table["threshold"][n] for n in shown], lines, scores["threshold"], target)


def plot_classifier_thresholds(scores: ClassifierScores, target: Path) -> None:
    """The shares of faces with a label and with a wrong one, and of rejects with a label, at other thresholds."""
    table = scores["tradeoff"]
    lines = {"faces with a label": table["label_rate"], "faces with a wrong label": table["error_rate"]}
    if scores["rejects"]:
        lines["rejects with a label"] = table["reject_label_rate"]
    _plot_thresholds(table["threshold"], lines, scores["threshold"], target)


def _plot_thresholds(thresholds: list[float], lines: dict[str, list[float]], chosen: float, target: Path) -> None:
    with _axes(target, (6, 4.5)) as (figure, axes):
        for name, values in lines.items():
            axes.plot(thresholds, values, label=name)
        axes.axvline(chosen, color="gray", linestyle="--", label=f"threshold {chosen:.2f}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="threshold", ylabel="share", title="other thresholds")
        figure.legend(loc="outside lower center", ncols=2)


def plot_calibration(outcomes: Outcomes, target: Path) -> None:
    """Reliability diagram: the share of right labels by score. Perfect calibration is the diagonal."""
    counted = outcomes.in_calibration
    bins = (outcomes.scores[counted] * 10).astype(int).clip(0, 9)
    counts = np.bincount(bins, minlength=10)
    filled = np.flatnonzero(counts)
    score, right = (
        np.bincount(bins, values[counted], 10)[filled] / counts[filled]
        for values in (outcomes.scores, outcomes.correctness)
    )
    with _axes(target, (5, 4.5)) as (_, axes):
        axes.plot([0, 1], [0, 1], color="gray", linestyle="--")
        axes.plot(score, right, "o-")
        for x, y, count in zip(score, right, counts[filled], strict=True):
            axes.annotate(str(count), (x, y), (4, -12), textcoords="offset points", fontsize=8)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="score", ylabel="share that is right", title="faces by score")


def plot_confusion_matrix(scores: ClassifierScores, target: Path) -> None:
    """The confusion matrix; each row adds up to the faces of one class."""
    from sklearn.metrics import ConfusionMatrixDisplay

    side = 3 + 0.6 * len(scores["labels"])
    with _axes(target, (side, side), grid=False) as (_, axes):
        display = ConfusionMatrixDisplay(np.array(scores["confusion"]), display_labels=scores["labels"])
        display.plot(ax=axes, colorbar=False, cmap="Blues")
        axes.set(xlabel="predicted", ylabel="truth", title=f"accuracy {scores['accuracy']:.1%}")


def draw_detection_batch(batches: DetectionBatches, target: Path, count: int = 24) -> None:
    """Augmented images as the detector gets them in training."""
    rng = np.random.default_rng(0)
    with_faces, _ = batches.positives_and_negatives
    tiles: list[Image] = []
    for number in rng.integers(len(with_faces), size=10 * count):
        if len(tiles) == count:
            break
        try:
            image, boxes, ignore = batches.augment(with_faces[int(number)], rng)
        except DataError:
            continue  # unreadable; training has logged it
        tiles.append(letterbox(draw_boxes(image, [(ignore, ORANGE), (boxes, GREEN)]), TILE_SIZE)[0])
    if not tiles:
        raise DataError("none of the images with a box can be read")
    write_contact_sheet(tiles, 6, target, [(" or ".join(batches.spec.labels), GREEN), ("ignored", ORANGE)])


def draw_classification_batch(batches: ClassificationBatches, target: Path) -> None:
    """Augmented crops as the classifier gets them in training."""
    tiles = [letterbox(image, (96, 96))[0] for image in batches(0).images[:48]]
    write_contact_sheet(tiles, 12, target, [("crops as training sees them", GRAY)])


def detection_sheet(
    results: Sequence[ImageResult],
    frame: tuple[int, int],
    threshold: float,
    columns: int,
    pixels: Mapping[Path, Image] | None = None,
) -> Image:
    """Images with true positives green, missed faces red, false positives blue, ignored regions gray.

    Images are read again, at the size `frame` (height, width), unless `pixels` has them.
    """
    tiles = []
    for result in results:
        right, wrong, missed = partition_detections(result, threshold)
        groups = [
            (result.ignore_boxes, GRAY),
            (np.array([face.box for face in right]), GREEN),
            (np.array([face.box for face in wrong]), BLUE),
            (result.truth_boxes[missed], RED),
        ]
        image = (pixels or {}).get(result.path)
        tiles.append(draw_boxes(letterbox(read_image(result.path), frame)[0] if image is None else image, groups))
    legend = [("detected", GREEN), ("missed", RED), ("false positive", BLUE), ("not counted", GRAY)]
    return contact_sheet(tiles, columns, legend)


def draw_detections(results: Sequence[ImageResult], frame: tuple[int, int], threshold: float, target: Path) -> None:
    """25 images with faces, as in `detection_sheet`."""
    with_faces = [result for result in results if len(result.truth_boxes)]
    write_png(target, detection_sheet(spread(with_faces, 25), frame, threshold, 5))


def spread(items: Sequence[Any], count: int) -> Sequence[Any]:
    """At most `count` evenly spaced items."""
    return items[:: max(1, len(items) // count)][:count]


def detection_failures(results: Sequence[ImageResult], threshold: float, count: int) -> list[ImageResult]:
    """The images with the most missed faces and false positives, at most `count`."""
    errors = {}
    for n, result in enumerate(results):
        _, wrong, missed = partition_detections(result, threshold)
        errors[n] = len(wrong) + len(missed)
    worst = sorted((n for n in errors if errors[n]), key=lambda n: -errors[n])
    return [results[n] for n in worst[:count]]


def draw_detection_failures(
    results: Sequence[ImageResult], frame: tuple[int, int], threshold: float, target: Path
) -> None:
    """The 25 images with the most errors, if there are any, as in `detection_sheet`."""
    if failures := detection_failures(results, threshold, 25):
        write_png(target, detection_sheet(failures, frame, threshold, 5))


def prediction_sheet(
    predictions: Sequence[Prediction], labels: Sequence[str], threshold: float, columns: int = 12
) -> Image:
    """Faces with their predicted label: right green, wrong red, unsure gray."""
    tiles = []
    for prediction in predictions:
        found = prediction.classification
        tile = letterbox(read_image(prediction.sample.path), (96, 96))[0].copy()
        right = found.best_index == prediction.sample.label
        color = GRAY if found.score < threshold else GREEN if right else RED
        cv2.rectangle(tile, (0, 0), (95, 95), color, 2)
        cv2.rectangle(tile, (2, 80), (93, 93), (0, 0, 0), -1)
        text = replace_surrogates(f"{labels[found.best_index]} {found.score:.2f}")
        cv2.putText(tile, text, (4, 90), cv2.FONT_HERSHEY_PLAIN, 0.8, color, 1, cv2.LINE_AA)
        tiles.append(tile)
    return contact_sheet(tiles, columns, [("right", GREEN), ("wrong", RED), ("unsure", GRAY)])


def draw_predictions(predictions: Sequence[Prediction], labels: Sequence[str], threshold: float, target: Path) -> None:
    """48 faces, as in `prediction_sheet`."""
    write_png(target, prediction_sheet(spread(predictions, 48), labels, threshold))


def prediction_failures(predictions: Sequence[Prediction], count: int) -> list[Prediction]:
    """The faces with a wrong label, the most confident first, at most `count`."""
    wrong = [p for p in predictions if p.classification.best_index != p.sample.label]
    return sorted(wrong, key=lambda p: -p.classification.score)[:count]


def draw_prediction_failures(
    predictions: Sequence[Prediction], labels: Sequence[str], threshold: float, target: Path
) -> None:
    """48 faces with a wrong label, if there are any, as in `prediction_sheet`."""
    if failures := prediction_failures(predictions, 48):
        write_png(target, prediction_sheet(failures, labels, threshold))
