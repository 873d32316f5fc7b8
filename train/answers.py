"""How good a classifier is, by the board's own `classify`, whether it is a Keras net or a .tflite file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.interpreter import Loaded
from pocketsight.device.sentiment import Sentiment, classify
from pocketsight.device.spec import ModelSpec
from pocketsight.train.expressions import Portrait, face_in, readable
from pocketsight.train.score import Numbers, Track, at_least

GRID = np.arange(30, 100) / 100  # thresholds of the trade-off that is reported
BINS = 15  # of the calibration error


@dataclass(frozen=True)
class Named:
    """One portrait after classification."""

    portrait: Portrait
    answer: Sentiment


def name(sentiment: Loaded, portraits: Iterable[Portrait], skipped: list[str]) -> Iterator[Named]:
    """Run the classifier on each readable portrait; names of the others go to `skipped`."""
    for portrait, image in readable(portraits, skipped):
        yield Named(portrait, classify(image, face_in(portrait, image), sentiment))


@dataclass(frozen=True)
class Judged:
    """Every answer beside the truth, as arrays (N,)."""

    truths: NDArray[np.int_]  # class by folder, or by the voters; -1: none of the classes, or no clear vote
    best: NDArray[np.int_]  # the most likely class that is an answer
    scores: Numbers  # its probability
    ours: NDArray[np.bool_]  # the truth is one of the answers
    others: NDArray[np.bool_]  # the folder is none of the answers: a face to be unsure about
    folders: NDArray[np.str_]  # their names, "_" aside
    credit: Numbers  # how right the answer is: 0 or 1, or the share of its votes
    weighed: NDArray[np.bool_]  # the faces that speak of calibration: ours and others, or all that have votes

    @property
    def right(self) -> NDArray[np.bool_]:
        return np.asarray(self.ours & (self.truths == self.best), bool)


def judge(named: Sequence[Named], answers: int, by_votes: bool = False) -> Judged:
    """Compare with the folders, or with the voters' majority. Raises DataError when there is none to score.

    `answers` is the number of classes that are answers. Faces that the voters are not clear about are neither ours
    nor others.
    """
    folders = np.array([n.portrait.label for n in named], int)
    truths = np.array([n.portrait.voted for n in named], int) if by_votes else folders
    ours = (truths >= 0) & (truths < answers)
    if not ours.any():
        raise DataError(f"none of {len(named)} pictures is of a class that the model knows")
    others = ~ours & ((folders < 0) | (folders >= answers))
    scores = np.array([n.answer.score for n in named], np.float64)
    best = np.array([n.answer.best for n in named], int)
    names = np.array([n.portrait.path.parent.name.lstrip("_") for n in named])
    if not by_votes:
        return Judged(truths, best, scores, ours, others, names, 1.0 * (ours & (truths == best)), ours | others)
    credit = np.array([n.portrait.odds[n.answer.best] for n in named], np.float64)
    voted = np.array([sum(n.portrait.odds) > 0 for n in named], bool)
    return Judged(truths, best, scores, ours, others, names, credit, voted)


def score_sentiment(
    sentiment: Loaded, portraits: Sequence[Portrait], by_votes: bool = False, track: Track = iter
) -> dict[str, Any]:
    """Ask about every portrait, and measure at the model's threshold."""
    skipped: list[str] = []
    named = list(name(sentiment, track(portraits), skipped))
    return measure(judge(named, len(sentiment.spec.answers), by_votes), sentiment.spec) | {"skipped": skipped}


def measure(judged: Judged, spec: ModelSpec) -> dict[str, Any]:
    """Accuracy, balanced accuracy, precision, recall and F1 a class, and the confusion matrix (rows are the truth).

    They take the most likely label of every face, sure or not; "unsure_rate" and "accuracy_when_sure" say what the
    threshold does, "tradeoff" what others would. Faces of other folders are counted apart: "others_called" is the
    share of them that gets a label. "ece" is the calibration error with them, since a score leaves room for them too;
    by votes an answer is as right as the share of the votes that it got.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels, ours, others = spec.answers, judged.ours, judged.others
    sure = judged.scores >= spec.threshold
    truths, best = judged.truths[ours], judged.best[ours]
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
        "threshold": spec.threshold,
        "temperature": spec.temperature,
        "unsure_rate": round(float((~sure)[ours].mean()), 4),
        "accuracy_when_sure": round(float(judged.right[both].mean()), 4) if both.any() else None,
        "others": int(others.sum()),
        "others_called": round(float(sure[others].mean()), 4) if others.any() else None,
        "others_by_folder": {
            str(folder): {"faces": int(here.sum()), "called": round(float(sure[here].mean()), 4)}
            for folder in np.unique(judged.folders[others])
            for here in [others & (judged.folders == folder)]
        },
        "ece": round(calibration_error(judged.scores[judged.weighed], judged.credit[judged.weighed]), 4),
        "ece_of_answers": round(calibration_error(judged.scores[ours], judged.right[ours]), 4),
        "tradeoff": {"threshold": GRID.tolist()}
        | {key: values.round(4).tolist() for key, values in tradeoff(judged, GRID).items()},
    }


def tradeoff(judged: Judged, thresholds: Numbers) -> dict[str, Numbers]:
    """For each threshold the shares of our faces that get a label and a wrong one, and of others that get one."""
    ours, count = judged.scores[judged.ours], max(int(judged.ours.sum()), 1)
    answered = at_least(ours, thresholds) / count
    wrong = at_least(judged.scores[judged.ours & ~judged.right], thresholds) / count
    others = at_least(judged.scores[judged.others], thresholds) / max(int(judged.others.sum()), 1)
    return {"answered": answered, "wrong": wrong, "others_called": others}


def calibration_error(scores: Numbers, right: NDArray[np.bool_] | Numbers, weights: Numbers | None = None) -> float:
    """How far scores are from the shares of right answers (ECE, 15 bins of equal width: Guo et al. 2017).

    Where people voted, an answer may be right in part. `weights` (N,) say how much each counts; without, all the same.
    """
    if not len(scores):
        return 0.0
    weights = np.ones(len(scores)) if weights is None else weights
    bins = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    gaps = np.bincount(bins, weights * scores, BINS) - np.bincount(bins, weights * right, BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def best_certainty(judged: Judged) -> float:
    """The threshold that serves best: a right answer counts 1, a wrong one -2, one to a face of no class -1.

    Each as a share of its faces, so that the mix of the pictures does not decide.
    """
    ours, right, count = judged.ours, judged.right, judged.ours.sum()

    def value(threshold: float) -> float:
        said = judged.scores >= threshold
        called = said[~ours].mean() if (~ours).any() else 0.0
        return float((said & right).sum() / count - 2 * (said & ours & ~right).sum() / count - called)

    return float(max(np.arange(30, 96) / 100, key=value))


def _by_class(labels: tuple[str, ...], values: NDArray[np.float64]) -> dict[str, float]:
    return {label: round(float(value), 4) for label, value in zip(labels, values, strict=True)}
