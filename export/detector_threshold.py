"""The threshold of an exported detector, tried on the file itself: quantization moves the scores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.train.console import log_message, scoring_progress
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation.detector import DetectionResults, match_scores, run_detector
from pocketsight.train.evaluation.metrics import FloatArray, precision_recall_at
from pocketsight.train.evaluation.threshold_choice import best_f1_threshold, choose_detector_threshold, parse_target

MAX_F1_LOSS = 0.01  # a threshold within this of the best one stays


def choose_threshold(exported: Model, samples: Sequence[DetectionSample]) -> ModelSpec:
    """The spec of the file with a threshold that fits its scores on labeled images, and log it with its margin.

    If the threshold was chosen by a target, the target counts again. Otherwise the trained threshold stays where it is
    about as good as any on the file, else it becomes that of the best F1. Without a face to score the spec is
    unchanged.
    """
    spec = exported.spec
    try:
        results = run_detector(exported, samples, progress=scoring_progress)
    except DataError:  # nothing to score; the parity check reports it
        return spec
    right, wrong = match_scores(results.faces), results.false_positives.scores()
    threshold = _by_target(spec, results)
    if threshold is None:
        best, threshold = best_f1_threshold(right, wrong), spec.score_threshold
        if f1(right, wrong, threshold) < f1(right, wrong, best) - MAX_F1_LOSS:
            threshold = best
    change = "as trained" if threshold == spec.score_threshold else f"chosen on this file, was {spec.score_threshold:g}"
    log_message(f"threshold {threshold:g}: {change}; {describe_margin(np.concatenate([right, wrong]), threshold)}")
    return replace(spec, score_threshold=threshold)


def _by_target(spec: ModelSpec, results: DetectionResults) -> float | None:
    """The threshold by the target of the trained one; None without a target, or where these images cannot prove it."""
    text = str(spec.training.get("threshold_choice", {}).get("target", ""))
    if text:
        with suppress(DataError):
            choice = choose_detector_threshold(parse_target(text, "detector"), results, spec.score_threshold)
            return choice["threshold"]
    return None


def f1(true_scores: FloatArray, false_scores: FloatArray, threshold: float) -> float:
    """The harmonic mean of precision and recall; the scores are as in `precision_recall_at`."""
    precision, recall, _ = precision_recall_at(true_scores, false_scores, np.array([threshold]))
    return float(2 * precision[0] * recall[0] / max(precision[0] + recall[0], 1e-9))


def describe_margin(scores: FloatArray, threshold: float) -> str:
    """How far the nearest scores are from the threshold."""
    above, below = scores[scores >= threshold], scores[scores < threshold]
    nearest = [
        f"{above.min() - threshold:.3f} above" if len(above) else "none above",
        f"{threshold - below.max():.3f} below" if len(below) else "none below",
    ]
    return f"the nearest scores on these images are {' and '.join(nearest)}"
