"""How good a classifier is, by the board's own `classify`, whether it is a Keras net or a .tflite file."""

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
from pocketsight.train.datasets.classification import ClassificationSample, get_face_box, iter_readable
from pocketsight.train.evaluation.metrics import FloatArray, calibration_error, count_at_least

REPORTED_THRESHOLDS = np.arange(30, 100) / 100  # thresholds of the trade-off that is reported


@dataclass(frozen=True)
class Prediction:
    """One portrait after classification."""

    sample: ClassificationSample
    classification: Classification


def iter_predictions(
    classifier: Model, samples: Iterable[ClassificationSample], skipped: list[str]
) -> Iterator[Prediction]:
    """Run the classifier on each readable portrait; names of the others go to `skipped`."""
    for portrait, image in iter_readable(samples, skipped):
        yield Prediction(portrait, classify(image, get_face_box(portrait, image), classifier))


@dataclass(frozen=True)
class Outcomes:
    """Every answer beside the truth, as arrays (N,)."""

    truths: NDArray[np.int_]  # class by folder, or by the voters; -1: none of the classes, or no clear vote
    predicted: NDArray[np.int_]  # the most likely class that is an answer
    scores: FloatArray  # its probability
    known: NDArray[np.bool_]  # the truth is one of the answers
    rejects: NDArray[np.bool_]  # the folder is none of the answers: a face to be unsure about
    folder_names: NDArray[np.str_]  # their names, "_" aside
    correctness: FloatArray  # how right the answer is: 0 or 1, or the share of its votes
    in_calibration: NDArray[np.bool_]  # the faces that speak of calibration: ours and others, or all that have votes

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        return np.asarray(self.known & (self.truths == self.predicted), bool)


def compare_with_truth(predictions: Sequence[Prediction], class_count: int, use_soft_labels: bool = False) -> Outcomes:
    """Compare with the folders, or with the voters' majority. Raises DataError when there is none to score.

    `answers` is the number of classes that are answers. Faces that the voters are not clear about are neither ours
    nor others.
    """
    folders = np.array([n.sample.label for n in predictions], int)
    truths = np.array([n.sample.voted_label for n in predictions], int) if use_soft_labels else folders
    ours = (truths >= 0) & (truths < class_count)
    if not ours.any():
        raise DataError(f"none of {len(predictions)} pictures is of a class that the model knows")
    others = ~ours & ((folders < 0) | (folders >= class_count))
    scores = np.array([n.classification.score for n in predictions], np.float64)
    best = np.array([n.classification.best_index for n in predictions], int)
    names = np.array([n.sample.path.parent.name.lstrip("_") for n in predictions])
    if not use_soft_labels:
        return Outcomes(truths, best, scores, ours, others, names, 1.0 * (ours & (truths == best)), ours | others)
    credit = np.array([n.sample.soft_label[n.classification.best_index] for n in predictions], np.float64)
    voted = np.array([sum(n.sample.soft_label) > 0 for n in predictions], bool)
    return Outcomes(truths, best, scores, ours, others, names, credit, voted)


def evaluate_classifier(
    classifier: Model,
    samples: Sequence[ClassificationSample],
    use_soft_labels: bool = False,
    progress: ProgressFn = iter,
) -> dict[str, Any]:
    """Ask about every portrait, and measure at the model's threshold."""
    skipped: list[str] = []
    predictions = list(iter_predictions(classifier, progress(samples), skipped))
    return compute_classifier_metrics(
        compare_with_truth(predictions, len(classifier.spec.reported_labels), use_soft_labels), classifier.spec
    ) | {"skipped": skipped}


def compute_classifier_metrics(outcomes: Outcomes, spec: ModelSpec) -> dict[str, Any]:
    """Accuracy, balanced accuracy, precision, recall and F1 a class, and the confusion matrix (rows are the truth).

    They take the most likely label of every face, sure or not; "unsure_rate" and "labeled_accuracy" say what the
    threshold does, "tradeoff" what others would. Faces of other folders are counted apart: "reject_label_rate" is the
    share of them that gets a label. "ece" is the calibration error with them, since a score leaves room for them too;
    by votes an answer is as right as the share of the votes that it got.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels, ours, others = spec.reported_labels, outcomes.known, outcomes.rejects
    sure = outcomes.scores >= spec.score_threshold
    truths, best = outcomes.truths[ours], outcomes.predicted[ours]
    classes = list(range(len(labels)))
    precision, recall, f1, support = precision_recall_fscore_support(truths, best, labels=classes, zero_division=0)
    both = ours & sure
    return {
        "accuracy": round(float((truths == best).mean()), 4),
        "balanced_accuracy": round(float(recall[support > 0].mean()), 4),
        "recall": _by_class(labels, recall),
        "precision": _by_class(labels, precision),
        "f1": _by_class(labels, f1),
        "confusion": confusion_matrix(truths, best, labels=classes).tolist(),
        "labels": list(labels),
        "images": int(ours.sum()),
        "threshold": spec.score_threshold,
        "temperature": spec.temperature,
        "unsure_rate": round(float((~sure)[ours].mean()), 4),
        "labeled_accuracy": round(float(outcomes.is_correct[both].mean()), 4) if both.any() else None,
        "others": int(others.sum()),
        "reject_label_rate": round(float(sure[others].mean()), 4) if others.any() else None,
        "others_by_folder": {
            str(folder): {"faces": int(here.sum()), "called": round(float(sure[here].mean()), 4)}
            for folder in np.unique(outcomes.folder_names[others])
            for here in [others & (outcomes.folder_names == folder)]
        },
        "ece": round(
            calibration_error(outcomes.scores[outcomes.in_calibration], outcomes.correctness[outcomes.in_calibration]),
            4,
        ),
        "ece_of_answers": round(calibration_error(outcomes.scores[ours], outcomes.is_correct[ours]), 4),
        "tradeoff": {"threshold": REPORTED_THRESHOLDS.tolist()}
        | {key: values.round(4).tolist() for key, values in rates_at_thresholds(outcomes, REPORTED_THRESHOLDS).items()},
    }


def rates_at_thresholds(outcomes: Outcomes, thresholds: FloatArray) -> dict[str, FloatArray]:
    """For each threshold the shares of our faces that get a label and a wrong one, and of others that get one."""
    ours, count = outcomes.scores[outcomes.known], max(int(outcomes.known.sum()), 1)
    answered = count_at_least(ours, thresholds) / count
    wrong = count_at_least(outcomes.scores[outcomes.known & ~outcomes.is_correct], thresholds) / count
    others = count_at_least(outcomes.scores[outcomes.rejects], thresholds) / max(int(outcomes.rejects.sum()), 1)
    return {"label_rate": answered, "wrong": wrong, "reject_label_rate": others}


def _by_class(labels: tuple[str, ...], values: NDArray[np.float64]) -> dict[str, float]:
    return {label: round(float(value), 4) for label, value in zip(labels, values, strict=True)}
