"""Plots and image sheets of a training or an evaluation, as PNG files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.annotators.labels import GRAY
from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.contact_sheet import BLUE, GREEN, ORANGE, RED, draw_boxes, write_contact_sheet
from pocketsight.train.datasets.classification import ClassificationBatches
from pocketsight.train.datasets.detection import DetectionBatches
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
        axes.plot(epochs, [float(row["val_loss"]) for row in rows], label="validation, not augmented")
        axes.set(xlabel="epoch", ylabel="loss", title="loss by epoch, before the weights are averaged")
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
    for index in with_faces[rng.integers(len(with_faces), size=10 * count)].tolist():
        if len(tiles) == count:
            break
        try:
            image, boxes, ignore = batches.augment(batches.samples[index], batches.read(index), rng)
        except DataError:
            continue  # unreadable; training has logged it
        tiles.append(letterbox(draw_boxes(image, [(ignore, ORANGE), (boxes, GREEN)]), TILE_SIZE)[0])
    write_contact_sheet(tiles, 6, target, [("face", GREEN), ("ignored", ORANGE)])


def draw_classification_batch(batches: ClassificationBatches, target: Path) -> None:
    """Augmented crops as the classifier gets them in training."""
    tiles = [letterbox(image, (96, 96))[0] for image in batches(0).images[:48]]
    write_contact_sheet(tiles, 12, target, [("crops as training sees them", GRAY)])


def draw_detections(results: Sequence[ImageResult], frame: tuple[int, int], threshold: float, target: Path) -> None:
    """25 images with faces: true positives green, missed faces red, false positives blue, ignored regions gray."""
    with_faces = [result for result in results if len(result.truth_boxes)]
    tiles = []
    for result in with_faces[:: max(1, len(with_faces) // 25)][:25]:
        right, wrong, missed = partition_detections(result, threshold)
        groups = [
            (result.ignore_boxes, GRAY),
            (np.array([face.box for face in right]), GREEN),
            (np.array([face.box for face in wrong]), BLUE),
            (result.truth_boxes[missed], RED),
        ]
        tiles.append(draw_boxes(letterbox(read_image(result.path), frame)[0], groups))
    legend = [("detected", GREEN), ("missed", RED), ("false positive", BLUE), ("not counted", GRAY)]
    write_contact_sheet(tiles, 5, target, legend)


def draw_predictions(predictions: Sequence[Prediction], labels: Sequence[str], threshold: float, target: Path) -> None:
    """48 faces with their predicted label: right green, wrong red, unsure gray."""
    tiles = []
    for prediction in predictions[:: max(1, len(predictions) // 48)][:48]:
        found = prediction.classification
        tile = letterbox(read_image(prediction.sample.path), (96, 96))[0].copy()
        right = found.best_index == prediction.sample.label
        color = GRAY if found.score < threshold else GREEN if right else RED
        cv2.rectangle(tile, (0, 0), (95, 95), color, 2)
        cv2.rectangle(tile, (2, 80), (93, 93), (0, 0, 0), -1)
        text = f"{labels[found.best_index]} {found.score:.2f}"
        cv2.putText(tile, text, (4, 90), cv2.FONT_HERSHEY_PLAIN, 0.8, color, 1, cv2.LINE_AA)
        tiles.append(tile)
    write_contact_sheet(tiles, 12, target, [("right", GREEN), ("wrong", RED), ("unsure", GRAY)])
