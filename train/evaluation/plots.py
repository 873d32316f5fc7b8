"""Pictures that people look at after a training: curves, samples, what was found and what was missed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.annotators.labels import GRAY
from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.contact_sheet import BLUE, GREEN, ORANGE, RED, draw_boxes, write_contact_sheet
from pocketsight.train.evaluation.classifier import Outcomes, Prediction
from pocketsight.train.evaluation.matching import ImageResult, partition_detections

TILE_SIZE = 192, 256


def pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    import matplotlib.pyplot as plt

    return plt


def plot_loss_curves(history: Path, target: Path) -> None:
    """Training and validation loss by epoch."""
    with history.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    epochs = [int(row["epoch"]) + 1 for row in rows]
    axes.plot(epochs, [float(row["loss"]) for row in rows], label="training, augmented")
    axes.plot(epochs, [float(row["val_loss"]) for row in rows], label="validation, plain")
    axes.set(xlabel="epoch", ylabel="loss", title="loss by epoch, before the weights are averaged")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def plot_precision_recall(scores: dict[str, Any], target: Path) -> None:
    """The detector's curve at IoU 0.5, with its threshold marked."""
    plt = pyplot()
    curve = scores["curve"]
    figure, axes = plt.subplots(figsize=(5, 4.5), layout="constrained")
    axes.plot(curve["recall"], curve["precision"])
    axes.plot(scores["recall"], scores["precision"], "o", label=f"threshold {scores['threshold']:.2f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=f"AP50 {scores['ap50']:.3f}")
    axes.legend(loc="lower left")
    axes.grid(alpha=0.3)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def plot_detector_thresholds(scores: dict[str, Any], target: Path) -> None:
    """What another threshold would give: precision and recall."""
    table = scores["tradeoff"]
    called = [n for n, (p, r) in enumerate(zip(table["precision"], table["recall"], strict=True)) if p or r]
    lines = {name: [table[name][n] for n in called] for name in ("precision", "recall")}
    _plot_thresholds([table["threshold"][n] for n in called], lines, scores["threshold"], target)


def plot_classifier_thresholds(scores: dict[str, Any], target: Path) -> None:
    """What another threshold would give: how many faces get a label, and how many of those should not."""
    table = scores["tradeoff"]
    lines = {"label_rate": table["label_rate"], "answered and wrong": table["wrong"]}
    if scores["others"]:
        lines["other faces that got a label"] = table["reject_label_rate"]
    _plot_thresholds(table["threshold"], lines, scores["threshold"], target)


def _plot_thresholds(thresholds: list[float], lines: dict[str, list[float]], chosen: float, target: Path) -> None:
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    for name, values in lines.items():
        axes.plot(thresholds, values, label=name)
    axes.axvline(chosen, color="grey", linestyle="--", label=f"threshold {chosen:.2f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="threshold", ylabel="share", title="what other thresholds would give")
    figure.legend(loc="outside lower center", ncols=2)
    axes.grid(alpha=0.3)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def plot_calibration(outcomes: Outcomes, target: Path) -> None:
    """How often answers of a score are right; they should be so on the diagonal."""
    plt = pyplot()
    asked = outcomes.in_calibration
    bins = (outcomes.scores[asked] * 10).astype(int).clip(0, 9)
    counts = np.bincount(bins, minlength=10)
    full = np.flatnonzero(counts)
    score, right = (
        np.bincount(bins, values[asked], 10)[full] / counts[full] for values in (outcomes.scores, outcomes.correctness)
    )
    figure, axes = plt.subplots(figsize=(5, 4.5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    axes.plot(score, right, "o-")
    for x, y, count in zip(score, right, counts[full], strict=True):
        axes.annotate(str(count), (x, y), (4, -12), textcoords="offset points", fontsize=8)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="score", ylabel="share that is right", title="faces by their score")
    axes.grid(alpha=0.3)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def plot_confusion_matrix(scores: dict[str, Any], target: Path) -> None:
    """The classifier's confusion matrix; each row adds up to the faces of one class."""
    plt = pyplot()
    from sklearn.metrics import ConfusionMatrixDisplay

    side = 3 + 0.6 * len(scores["labels"])
    figure, axes = plt.subplots(figsize=(side, side), layout="constrained")
    table = np.array(scores["confusion"])
    ConfusionMatrixDisplay(table, display_labels=scores["labels"]).plot(ax=axes, colorbar=False, cmap="Blues")
    axes.set(xlabel="answer", ylabel="truth", title=f"accuracy {scores['accuracy']:.1%}")
    figure.savefig(target, dpi=110)
    plt.close(figure)


def draw_detection_batch(batches: Any, target: Path, count: int = 24) -> None:
    """Augmented pictures as the detector learns from them: faces green, ignored regions orange."""
    rng = np.random.default_rng(0)
    full, _ = batches.positives_and_negatives
    tiles: list[Image] = []
    for number in rng.integers(len(full), size=10 * count):
        if len(tiles) == count:
            break
        try:
            image, boxes, ignore = batches.sample(full[int(number)], rng)
        except DataError:
            continue  # damaged; training has named it
        tiles.append(letterbox(draw_boxes(image, [(ignore, ORANGE), (boxes, GREEN)]), TILE_SIZE)[0])
    write_contact_sheet(tiles, 6, target, [("face", GREEN), ("ignored", ORANGE)])


def draw_classification_batch(batches: Any, target: Path) -> None:
    """Augmented crops as the classifier learns from them."""
    tiles = [letterbox(image, (96, 96))[0] for image in batches(0).images[:48]]
    write_contact_sheet(tiles, 12, target, [("crops as training sees them", GRAY)])


def draw_detections(results: Sequence[ImageResult], frame: tuple[int, int], threshold: float, target: Path) -> None:
    """Test pictures, 25 of those with faces: found green, missed red, false alarms blue, ignored grey."""
    full = [picture for picture in results if len(picture.truth_boxes)]
    tiles = []
    for picture in full[:: max(1, len(full) // 25)][:25]:
        right, wrong, missed = partition_detections(picture, threshold)
        groups = [
            (picture.ignore_boxes, GRAY),
            (np.array([f.box for f in right]), GREEN),
            (np.array([f.box for f in wrong]), BLUE),
            (picture.truth_boxes[missed], RED),
        ]
        tiles.append(draw_boxes(letterbox(read_image(picture.path), frame)[0], groups))
    write_contact_sheet(
        tiles, 5, target, [("found", GREEN), ("missed", RED), ("false alarm", BLUE), ("not counted", GRAY)]
    )


def draw_predictions(predictions: Sequence[Prediction], labels: Sequence[str], threshold: float, target: Path) -> None:
    """Test portraits, 48 of them, with the answer: right green, wrong red, unsure grey."""
    tiles = []
    for answer in predictions[:: max(1, len(predictions) // 48)][:48]:
        tile = letterbox(read_image(answer.sample.path), (96, 96))[0].copy()
        right = answer.classification.best_index == answer.sample.label
        color = GRAY if answer.classification.score < threshold else GREEN if right else RED
        cv2.rectangle(tile, (0, 0), (95, 95), color, 2)
        text = f"{labels[answer.classification.best_index]} {answer.classification.score:.2f}"
        cv2.rectangle(tile, (2, 80), (93, 93), (0, 0, 0), -1)
        cv2.putText(tile, text, (4, 90), cv2.FONT_HERSHEY_PLAIN, 0.8, color, 1, cv2.LINE_AA)
        tiles.append(tile)
    write_contact_sheet(tiles, 12, target, [("right", GREEN), ("wrong", RED), ("unsure", GRAY)])
