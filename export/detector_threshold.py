"""The threshold of an exported detector, tried on the file itself: quantization moves the scores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.export.detector_presets import choose_presets
from pocketsight.train.console import log_message, scoring_progress
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation.detector import DetectionResults, match_scores, run_detector
from pocketsight.train.evaluation.metrics import FloatArray, precision_recall_at
from pocketsight.train.evaluation.threshold_choice import best_f1_threshold, choose_by_label, parse_target

MAX_F1_LOSS = 0.01  # a threshold within this of the best one stays


def choose_threshold(exported: Model, samples: Sequence[DetectionSample]) -> ModelSpec:
    """The spec of the file with a threshold that fits its scores on labeled images, and log it with its margin.

    If the threshold was chosen by a target, the target counts again. Otherwise the trained threshold stays where it is
    about as good as any on the file, else it becomes that of the best F1. Each label has its own. The presets are
    chosen on the same images. Without an object to score the spec is unchanged.
    """
    spec = exported.spec
    try:
        results = run_detector(exported, samples, progress=scoring_progress)
    except DataError:  # nothing to score; the parity check reports it
        return spec
    targets = _by_target(spec, results)
    thresholds = {}
    for label, trained in zip(spec.labels, spec.label_thresholds, strict=True):
        part = results.by_label.get(label, results)
        right, wrong = match_scores(part.faces), part.false_positives.scores()
        threshold = targets.get(label, trained)
        if label not in targets and len(right):
            best = best_f1_threshold(right, wrong)
            if f1(right, wrong, threshold) < f1(right, wrong, best) - MAX_F1_LOSS:
                threshold = best
        change = "as trained" if threshold == trained else f"chosen on this file, was {trained:g}"
        name = f"threshold of {label}" if len(spec.labels) > 1 else "threshold"
        log_message(f"{name} {threshold:g}: {change}; {describe_margin(np.concatenate([right, wrong]), threshold)}")
        thresholds[label] = threshold
    presets, notes = choose_presets(results, thresholds)
    for note in notes:
        log_message(note)
    return replace(spec.with_thresholds(thresholds), presets=presets)


def _by_target(spec: ModelSpec, results: DetectionResults) -> dict[str, float]:
    """Thresholds by the target of the trained ones; {} without a target, or where these images cannot prove it."""
    text = str(spec.training.get("threshold_choice", {}).get("target", ""))
    if text:
        with suppress(DataError):
            choices = choose_by_label(parse_target(text, "detector"), results, spec)
            return {label: choice["threshold"] for label, choice in choices.items()}
    return {}


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
