"""`pocketsight evaluate --against`: is a model better than another one, on each source of the images?

Both models see the same images, and a paired bootstrap (Efron & Tibshirani 1993) resamples the images: the interval is
that of the difference, so what makes an image hard for both does not widen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.errors import DataError
from pocketsight.device.inference.interpreter import Model
from pocketsight.train.console import scoring_progress
from pocketsight.train.datasets.classification import read_classification_dataset
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.datasets.face_alignment import apply_training_alignment
from pocketsight.train.evaluation.classifier import compare_with_truth, iter_predictions
from pocketsight.train.evaluation.compact import of_label
from pocketsight.train.evaluation.detector import DETECTOR_FRAME_SIZE, iter_results
from pocketsight.train.evaluation.evaluate import EVALUATION_SPLITS, detection_samples, first_split, open_model
from pocketsight.train.evaluation.matching import IGNORED_DETECTION, ImageResult, match_detections
from pocketsight.train.evaluation.metrics import CONFIDENCE, MIN_SAMPLES, FloatArray

RESAMPLES = 1000
TOGETHER = "all"

Verdict = Literal["better", "worse", "no difference", "too few images"]


class SourceComparison(TypedDict):
    """Both models on the images of one source."""

    source: str
    images: int
    old: float
    new: float
    difference: float  # new - old
    difference_95: list[float]  # its 95 % interval
    verdict: Verdict


class Comparison(TypedDict):
    """Two models on the same images; the last source is "all" where there are several."""

    metric: Literal["AP50", "accuracy"]
    new: str
    old: str
    sources: list[SourceComparison]
    skipped: list[str]  # errors of images that could not be read


class Scored(Protocol):
    """What a model found in some images."""

    def score(self, weights: FloatArray) -> float:
        """The metric, where each image counts as often as its weight (I,) says."""


def compare_models(
    new: Path,
    old: Path,
    data: Sequence[Path],
    frame_size: tuple[int, int] | None = None,
    min_face_size: float = 16.0,
    soft_labels: Sequence[Path] = (),
    face_detector: Path | None = None,
) -> Comparison:
    """Run two run folders or .tflite files of one task on the images. Raises DataError or ModelError."""
    models = open_model(new), open_model(old)
    tasks = [model.spec.task for model in models]
    if tasks[0] != tasks[1] or models[0].spec.reported_labels != models[1].spec.reported_labels:
        what = [f"a {m.spec.task} of {', '.join(m.spec.labels)}" for m in models]
        raise DataError(f"{new} is {what[0]}, {old} {what[1]}; compare models of one task with the same labels")
    skipped: list[str] = []
    if tasks[0] == "detector":
        found = _score_detectors(models, data, frame_size or DETECTOR_FRAME_SIZE, min_face_size, skipped)
    else:
        found = _score_classifiers(models, data, soft_labels, face_detector, skipped)
    return {
        "metric": "AP50" if tasks[0] == "detector" else "accuracy",
        "new": str(new),
        "old": str(old),
        "sources": [compare_scores(source, *each) for source, each in found.items()],
        "skipped": skipped[: len(skipped) // 2],  # both models skip the same
    }


def worse_sources(comparison: Comparison) -> list[str]:
    """The sources, or "all", on which the new model is worse."""
    return [row["source"] for row in comparison["sources"] if row["verdict"] == "worse"]


def compare_scores(source: str, images: int, new: Scored, old: Scored) -> SourceComparison:
    """The difference of two models on the same images, with the interval of a paired bootstrap."""
    generator, alike = np.random.default_rng(0), np.full(images, 1 / images)
    draws = generator.multinomial(images, alike, RESAMPLES).astype(np.float64)
    differences = np.array([new.score(weights) - old.score(weights) for weights in draws])
    low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    verdict: Verdict = "better" if low > 0 else "worse" if high < 0 else "no difference"
    before, after = old.score(np.ones(images)), new.score(np.ones(images))
    return {
        "source": source,
        "images": images,
        "old": round(before, 4),
        "new": round(after, 4),
        "difference": round(after - before, 4),
        "difference_95": [round(float(low), 4), round(float(high), 4)],
        "verdict": verdict if images >= MIN_SAMPLES else "too few images",
    }


class ScoredDetections:
    """The detections (D,) of one label in I images, best first: the scores that differ, and where each ends."""

    def __init__(self, results: Sequence[ImageResult]) -> None:
        outcomes = [match_detections(result) for result in results]
        rows = [
            (face.score, number >= 0, image)
            for image, (result, found) in enumerate(zip(results, outcomes, strict=True))
            for face, (number, _) in zip(result.detections, found, strict=True)
            if number != IGNORED_DETECTION
        ]
        scores, right, images = np.array(rows, np.float64).reshape(-1, 3).T
        order = np.argsort(-scores, kind="stable")
        self.is_right, self.images = right[order], images[order].astype(int)
        self.ends = np.flatnonzero(np.diff(scores[order], append=-1))  # of detections with equal scores
        self.faces = np.array([len(result.truth_boxes) for result in results], np.float64)

    def score(self, weights: FloatArray) -> float:
        """AP at IoU 0.5, as `average_precision`."""
        counts = weights[self.images]
        right = np.cumsum(counts * self.is_right)[self.ends]
        found = np.cumsum(counts)[self.ends]
        precision = np.maximum.accumulate((right / np.maximum(found, 1e-9))[::-1])[::-1]
        recall = right / max(float(weights @ self.faces), 1.0)
        reached = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        return float(np.append(precision, 0)[reached].mean())


class MeanScore(NamedTuple):
    """The mean over the labels that the images have."""

    parts: list[ScoredDetections]

    def score(self, weights: FloatArray) -> float:
        """The mean AP at IoU 0.5."""
        return float(np.mean([part.score(weights) for part in self.parts]))


class ScoredLabels(NamedTuple):
    """Whether the label of each image (I,) is right."""

    is_correct: NDArray[np.float64]

    def score(self, weights: FloatArray) -> float:
        """The accuracy."""
        return float(weights @ self.is_correct / weights.sum())


Found = dict[str, tuple[int, Scored, Scored]]  # images, new and old, by source


def _score_detectors(
    models: Sequence[Model], data: Sequence[Path], frame_size: tuple[int, int], min_face_size: float, skipped: list[str]
) -> Found:
    labels = models[0].spec.labels
    results: dict[str, list[tuple[ImageResult, ImageResult]]] = {}
    for path in data:
        _, samples = detection_samples([path], EVALUATION_SPLITS, labels)
        pairs = zip(*(_run(model, samples, frame_size, min_face_size, skipped) for model in models), strict=True)
        for new, old in pairs:
            results.setdefault(_source(new, path), []).append((new, old))
    if len(results) > 1:
        results[TOGETHER] = [pair for pairs in results.values() for pair in pairs]
    found: Found = {}
    for source, images in results.items():
        if any(len(new.truth_boxes) for new, _ in images):
            new, old = (_scored(own, labels) for own in zip(*images, strict=True))
            found[source] = len(images), new, old
    if not found:
        raise DataError(f"no object of {min_face_size:g} px or more in these images; there is nothing to compare")
    return found


def _source(result: ImageResult, data: Path) -> str:
    """The source of an image; for the frames of a board the name of their data set, BOARD/DAY."""
    if result.source and result.source != parse_session_name(result.path.name):
        return result.source
    return data.stem if data.suffix else f"{data.absolute().parent.name}/{data.name}"


def _run(
    model: Model, samples: Sequence[DetectionSample], size: tuple[int, int], min_face_size: float, skipped: list[str]
) -> list[ImageResult]:
    return [result for result, _ in iter_results(model, scoring_progress(samples), size, min_face_size, skipped)]


def _scored(results: Sequence[ImageResult], labels: Sequence[str]) -> Scored:
    if len(labels) == 1:
        return ScoredDetections(results)
    parts = [ScoredDetections([of_label(result, label) for result in results]) for label in labels]
    return MeanScore([part for part in parts if part.faces.any()])


def _score_classifiers(
    models: Sequence[Model],
    data: Sequence[Path],
    soft_labels: Sequence[Path],
    face_detector: Path | None,
    skipped: list[str],
) -> Found:
    by_source: dict[str, list[NDArray[np.float64]]] = {}
    for path in data:
        by_source[path.name] = []
        for model in models:
            labels = model.spec.reported_labels
            rejects = model.spec.labels[len(labels) :]
            splits = read_classification_dataset(
                [path], list(soft_labels), labels, default_split="test", known_rejects=rejects
            ).splits
            split = splits[first_split(splits, EVALUATION_SPLITS)]
            samples = apply_training_alignment(split, model.spec, face_detector)
            predictions = list(iter_predictions(model, scoring_progress(samples), skipped))
            outcomes = compare_with_truth(predictions, len(labels), bool(soft_labels))
            by_source[path.name].append(outcomes.is_correct[outcomes.known].astype(np.float64))
    if len(by_source) > 1:
        by_source[TOGETHER] = [np.concatenate(columns) for columns in zip(*by_source.values(), strict=True)]
    return {source: (len(new), ScoredLabels(new), ScoredLabels(old)) for source, (new, old) in by_source.items()}


def format_comparison(comparison: Comparison) -> str:
    """The comparison as text: a line for each source."""
    rows = comparison["sources"]
    width = max(len(row["source"]) for row in rows) + 2
    lines = [
        f"{comparison['new']} against {comparison['old']}: {comparison['metric']}",
        f"{'':{width}}{'images':>7}{'old':>8}{'new':>8}  difference (95 %)",
    ]
    for row in rows:
        low, high = row["difference_95"]
        numbers = f"{row['images']:7}{row['old']:8.3f}{row['new']:8.3f}"
        lines.append(
            f"{row['source']:{width}}{numbers}  {row['difference']:+.3f} ({low:+.3f} to {high:+.3f}): {row['verdict']}"
        )
    return "\n".join(lines)
