"""Evaluate a classifier with the board's own `classify`: a Keras network or a .tflite file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.inference.classifier import Classification, classify
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.train.console import ProgressFn
from pocketsight.train.datasets.classification import ClassificationSample, get_input_box, iter_readable
from pocketsight.train.evaluation.metrics import FloatArray, calibration_error, count_at_least
from pocketsight.train.evaluation.reports import ClassifierMetrics, FolderRate

REPORTED_THRESHOLDS = np.arange(30, 100) / 100  # thresholds in "tradeoff"


@dataclass(frozen=True)
class Prediction:
    """One face image after classification."""

    sample: ClassificationSample
    classification: Classification


@dataclass(frozen=True)
class Outcomes:
    """Predictions and the truth, as arrays (N,)."""

    truths: NDArray[np.int_]  # class by folder, or by the voters; -1: no class of the model, or no clear vote
    predicted: NDArray[np.int_]  # the most likely reported class
    scores: FloatArray  # its probability
    known: NDArray[np.bool_]  # the truth is a reported class
    rejects: NDArray[np.bool_]  # the folder is not a reported class: "unsure" is right
    folder_names: NDArray[np.str_]  # without a leading "_"
    correctness: FloatArray  # 0 or 1, or the share of the votes for the predicted class
    in_calibration: NDArray[np.bool_]  # counted in the calibration error: known and rejects, or all that have votes

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        return np.asarray(self.known & (self.truths == self.predicted), bool)


def iter_predictions(
    classifier: Model, samples: Iterable[ClassificationSample], skipped: list[str]
) -> Iterator[Prediction]:
    """Run the classifier on each readable image. The errors of unreadable ones are appended to `skipped`."""
    for sample, image in iter_readable(samples, skipped):
        yield Prediction(sample, classify(image, get_input_box(sample, image, classifier.spec), classifier))


def compare_with_truth(predictions: Sequence[Prediction], class_count: int, use_soft_labels: bool = False) -> Outcomes:
    """Compare predictions with the folders, or with the voters' majority.

    `class_count` is the number of reported classes. Faces without a clear vote are neither known nor rejects.
    Raises DataError when no face is of a reported class.
    """
    folders = np.array([p.sample.label for p in predictions], int)
    truths = np.array([p.sample.voted_label for p in predictions], int) if use_soft_labels else folders
    known = (truths >= 0) & (truths < class_count)
    if not known.any():
        raise DataError(f"none of {len(predictions)} images is of a class that the model knows")
    rejects = ~known & ((folders < 0) | (folders >= class_count))
    scores = np.array([p.classification.score for p in predictions], np.float64)
    best = np.array([p.classification.best_index for p in predictions], int)
    names = np.array([p.sample.path.parent.name.lstrip("_") for p in predictions])
    if not use_soft_labels:
        correctness = 1.0 * (known & (truths == best))
        return Outcomes(truths, best, scores, known, rejects, names, correctness, known | rejects)
    correctness = np.array([p.sample.soft_label[p.classification.best_index] for p in predictions], np.float64)
    has_votes = np.array([sum(p.sample.soft_label) > 0 for p in predictions], bool)
    return Outcomes(truths, best, scores, known, rejects, names, correctness, has_votes)


def evaluate_classifier(
    classifier: Model,
    samples: Sequence[ClassificationSample],
    use_soft_labels: bool = False,
    progress: ProgressFn = iter,
) -> ClassifierMetrics:
    """Classify every image, and measure at the model's threshold. Raises DataError as `compare_with_truth`."""
    predictions = list(iter_predictions(classifier, progress(samples), []))
    outcomes = compare_with_truth(predictions, len(classifier.spec.reported_labels), use_soft_labels)
    return compute_classifier_metrics(outcomes, classifier.spec)


def compute_classifier_metrics(outcomes: Outcomes, spec: ModelSpec) -> ClassifierMetrics:
    """Accuracy, balanced accuracy, precision, recall and F1 of each class, and the confusion matrix (rows: truth).

    They take the most likely label of every face, whatever its score. "unsure_rate" and "labeled_accuracy" are at the
    threshold, "tradeoff" is at others. Faces of reject folders count apart: "reject_label_rate" is the share of them
    that gets a label. "ece" is the calibration error with them, "ece_known" without; with soft labels a prediction is
    as right as its share of the votes.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels, known, rejects = spec.reported_labels, outcomes.known, outcomes.rejects
    confident = outcomes.scores >= spec.score_threshold
    truths, best = outcomes.truths[known], outcomes.predicted[known]
    classes = list(range(len(labels)))
    precision, recall, f1, support = precision_recall_fscore_support(truths, best, labels=classes, zero_division=0)
    labeled, counted = known & confident, outcomes.in_calibration
    tradeoff = rates_at_thresholds(outcomes, REPORTED_THRESHOLDS)
    return {
        "accuracy": round(float((truths == best).mean()), 4),
        "balanced_accuracy": round(float(recall[support > 0].mean()), 4),
        "recall": _by_class(labels, recall),
        "precision": _by_class(labels, precision),
        "f1": _by_class(labels, f1),
        "confusion": confusion_matrix(truths, best, labels=classes).tolist(),
        "labels": list(labels),
        "images": int(known.sum()),
        "threshold": spec.score_threshold,
        "temperature": spec.temperature,
        "unsure_rate": round(float((~confident)[known].mean()), 4),
        "labeled_accuracy": round(float(outcomes.is_correct[labeled].mean()), 4) if labeled.any() else None,
        "rejects": int(rejects.sum()),
        "reject_label_rate": round(float(confident[rejects].mean()), 4) if rejects.any() else None,
        "rejects_by_folder": _rejects_by_folder(outcomes, confident),
        "ece": round(calibration_error(outcomes.scores[counted], outcomes.correctness[counted]), 4),
        "ece_known": round(calibration_error(outcomes.scores[known], outcomes.is_correct[known]), 4),
        "tradeoff": {"threshold": REPORTED_THRESHOLDS.tolist()}
        | {key: values.round(4).tolist() for key, values in tradeoff.items()},
    }


def rates_at_thresholds(outcomes: Outcomes, thresholds: FloatArray) -> dict[str, FloatArray]:
    """At each threshold (T,): the shares of known faces that get a label and a wrong one, and of rejects that do."""
    scores, count = outcomes.scores[outcomes.known], max(int(outcomes.known.sum()), 1)
    labeled = count_at_least(scores, thresholds) / count
    wrong = count_at_least(outcomes.scores[outcomes.known & ~outcomes.is_correct], thresholds) / count
    rejects = count_at_least(outcomes.scores[outcomes.rejects], thresholds) / max(int(outcomes.rejects.sum()), 1)
    return {"label_rate": labeled, "error_rate": wrong, "reject_label_rate": rejects}


def _rejects_by_folder(outcomes: Outcomes, confident: NDArray[np.bool_]) -> dict[str, FolderRate]:
    rates: dict[str, FolderRate] = {}
    for folder in np.unique(outcomes.folder_names[outcomes.rejects]):
        here = outcomes.rejects & (outcomes.folder_names == folder)
        rates[str(folder)] = {"faces": int(here.sum()), "label_rate": round(float(confident[here].mean()), 4)}
    return rates


def _by_class(labels: Sequence[str], values: Any) -> dict[str, float]:
    return {label: round(float(value), 4) for label, value in zip(labels, values, strict=True)}
