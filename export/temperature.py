"""Temperature scaling of a classifier, and its threshold, fitted to the exported file.

Logits are divided by one number, the temperature (Guo et al., "On calibration of modern neural networks", 2017). The
most likely class stays the same. The temperature is fitted after quantization, which changes the scores again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference import classifier as board
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.train.console import ProgressFn, log_message, scoring_progress
from pocketsight.train.datasets.classification import (
    ClassificationSample,
    get_face_box,
    iter_readable,
    sampling_weights,
)
from pocketsight.train.evaluation.classifier import Outcomes, Prediction, compare_with_truth
from pocketsight.train.evaluation.metrics import MIN_SAMPLES, FloatArray, calibration_error
from pocketsight.train.evaluation.reports import ThresholdChoice
from pocketsight.train.evaluation.threshold_choice import (
    DEFAULT_TARGET,
    auto_threshold,
    choice_facts,
    choose_classifier_threshold,
    parse_target,
)

TEMPERATURE_BOUNDS = 0.25, 4.0  # a temperature beyond them means that something else is wrong
MAX_CALIBRATION_ERROR = 0.05  # a larger one after scaling gets a warning


def prepare_spec(spec: ModelSpec, target: str | None, soft_labels: Sequence[Path]) -> ModelSpec:
    """The spec of a run at temperature 1; another value belongs to an earlier export.

    Raises DataError when `target` is not a target for a classifier, or the run is a detector.
    """
    if spec.task == "detector" and (target or soft_labels):
        raise DataError(
            "--threshold-for and --soft-labels are for a classifier; choose a detector's threshold with: "
            "pocketsight evaluate RUN --data DATA --threshold-for TARGET"
        )
    if target:
        parse_target(target, "classifier")
    known = spec.training.get("soft_labels", [])
    if known and not soft_labels:
        log_message(
            f"it was trained with soft labels from {', '.join(known)}: give them with --soft-labels, or the "
            "temperature will not fit"
        )
    return replace(spec, temperature=1.0)


def calibrate(
    exported: Model, heldout: Sequence[ClassificationSample], target: str | None, soft_labels: Sequence[Path]
) -> ModelSpec:
    """The spec of the file with a fitted temperature and threshold, and log both. A detector's spec is unchanged.

    Raises DataError when no threshold meets the target.
    """
    if exported.spec.task == "detector":
        return exported.spec
    if heldout:
        spec, lines = fit_calibration(exported, heldout, target, bool(soft_labels), scoring_progress)
    else:
        labels = " and ".join(exported.spec.reported_labels)
        reason = f"training held out fewer than {MIN_SAMPLES} images of {labels}"
        if target:
            raise DataError(f"--threshold-for {target}: {reason}, too few to choose a threshold. Nothing was written")
        spec, lines = exported.spec, [f"{reason}, too few to fit a temperature: scores and threshold stay as trained"]
    for line in lines:
        log_message(line)
    return spec


def fit_calibration(
    exported: Model,
    heldout: Sequence[ClassificationSample],
    target: str | None,
    by_soft_labels: bool,
    track: ProgressFn = iter,
) -> tuple[ModelSpec, list[str]]:
    """The spec with a temperature and a threshold, and lines about both for a log.

    `exported` is the file to be written, at temperature 1; `heldout` is what training held out. Without a `target`
    see `choose_threshold`. `by_soft_labels`: the voters' majority is the truth. Raises DataError when no image can be
    read, or no threshold meets the target.
    """
    spec, skipped = exported.spec, list[str]()
    samples, logits = collect_logits(exported, heldout, skipped, track)
    if not any(sample.label < len(spec.labels) for sample in samples):
        raise DataError(f"none of {len(heldout)} images that training held out can be read; {skipped[0]}")
    targets = np.array([sample.soft_label for sample in samples], np.float64)[:, : len(spec.labels)]
    known = targets.sum(1) > 0  # a class that the network lacks has no effect on its temperature
    weights = sampling_weights([sample for sample, is_known in zip(samples, known.tolist(), strict=True) if is_known])
    facts = temperature_report(
        logits[known], targets[known] / targets[known].sum(1, keepdims=True), len(spec.reported_labels), weights
    )
    spec = replace(
        spec, temperature=facts["temperature"], calibration=spec.calibration | {"temperature_scaling": facts}
    )
    predictions = [
        Prediction(sample, board.to_classification(board.softmax(QuantizedTensor(row), spec.temperature), spec))
        for sample, row in zip(samples, logits.astype(np.float32), strict=True)
    ]
    choice = choose_threshold(compare_with_truth(predictions, len(spec.reported_labels), by_soft_labels), spec, target)
    spec = replace(spec, score_threshold=choice["threshold"], training=_record_threshold_target(spec, choice))
    lines = [
        *(f"skipped: {line}" for line in skipped),
        *_summary_lines(spec, facts, choice),
        *_heldout_warnings(spec, len(heldout)),
    ]
    return spec, lines


def temperature_report(
    logits: FloatArray, targets: FloatArray, reported_count: int, weights: FloatArray | None = None
) -> dict[str, Any]:
    """The temperature, and NLL and calibration error at 1 and at it, for the manifest.

    `logits` and `targets` are (N, classes). `weights` (N,) are those of training: other class shares need other scores.
    """
    temperature = round(fit_temperature(logits, targets, weights), 4)
    return {
        "temperature": temperature,
        "images": len(logits),
        "nll": [round(negative_log_likelihood(logits, targets, t, weights), 4) for t in (1.0, temperature)],
        "ece": [
            round(expected_calibration_error(logits, targets, t, reported_count, weights), 4)
            for t in (1.0, temperature)
        ],
    }


def collect_logits(
    model: Model, samples: Sequence[ClassificationSample], skipped: list[str], track: ProgressFn = iter
) -> tuple[list[ClassificationSample], FloatArray]:
    """The readable samples, and their logits (N, classes) up to a constant per row, by the board's own code."""
    uncalibrated = Model(model.infer, replace(model.spec, temperature=1.0))
    readable, rows = [], []
    for sample, image in iter_readable(track(samples), skipped):
        rows.append(board.predict_probabilities(image, get_face_box(sample, image), uncalibrated))
        readable.append(sample)
    probabilities = np.array(rows, np.float64).reshape(len(rows), len(model.spec.labels))
    return readable, np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))


def log_softmax(logits: FloatArray, temperature: float) -> FloatArray:
    """(N, classes): logarithms of the probabilities at a temperature."""
    scaled = (logits - logits.max(1, keepdims=True)) / temperature
    return np.asarray(scaled - np.log(np.exp(scaled).sum(1, keepdims=True)), np.float64)


def negative_log_likelihood(
    logits: FloatArray, targets: FloatArray, temperature: float, weights: FloatArray | None = None
) -> float:
    """Mean negative log-likelihood of the soft labels `targets` (N, classes) at a temperature."""
    return float(-np.average((targets * log_softmax(logits, temperature)).sum(1), weights=weights))


def expected_calibration_error(
    logits: FloatArray, targets: FloatArray, temperature: float, reported_count: int, weights: FloatArray | None = None
) -> float:
    """Calibration error (ECE) of the most likely reported labels; each is as right as its entry in `targets`."""
    best = logits[:, :reported_count].argmax(1)[:, np.newaxis]
    scores = np.exp(np.take_along_axis(log_softmax(logits, temperature), best, 1))
    return calibration_error(scores[:, 0], np.take_along_axis(targets, best, 1)[:, 0], weights)


def fit_temperature(logits: FloatArray, targets: FloatArray, weights: FloatArray | None = None) -> float:
    """The temperature with the lowest negative log-likelihood, within TEMPERATURE_BOUNDS.

    Uniform labels with the weight of one image are added. Otherwise a few images that are all right would push every
    score to 1.
    """
    from scipy.optimize import minimize_scalar

    uniform = np.full_like(targets, 1 / targets.shape[1])
    mixed = (targets * len(targets) + uniform) / (len(targets) + 1)
    low, high = map(log, TEMPERATURE_BOUNDS)
    result = minimize_scalar(
        lambda t: negative_log_likelihood(logits, mixed, exp(t), weights),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return next((bound for bound in TEMPERATURE_BOUNDS if abs(exp(result.x) - bound) < 1e-3), exp(result.x))


def choose_threshold(outcomes: Outcomes, spec: ModelSpec, target: str | None) -> ThresholdChoice:
    """The threshold that meets `target`, or else the earlier target of the run if it can be met, or the default."""
    if target:
        return choose_classifier_threshold(parse_target(target, "classifier"), outcomes, spec.score_threshold)
    before = spec.training.get("threshold_choice", {}).get("target", DEFAULT_TARGET)
    if before != DEFAULT_TARGET:  # auto_threshold meets that too
        with suppress(DataError):
            return choose_classifier_threshold(parse_target(before, "classifier"), outcomes, spec.score_threshold)
    return auto_threshold(outcomes, spec.score_threshold)


def _record_threshold_target(spec: ModelSpec, choice: ThresholdChoice) -> dict[str, Any]:
    """Training facts with the target, as `pocketsight evaluate --threshold-for` writes them."""
    facts = {name: fact for name, fact in spec.training.items() if name != "threshold_choice"}
    if not choice["target"]:
        return facts
    return facts | {"threshold_choice": choice_facts(choice, spec.calibration.get("data", []))}


def _summary_lines(spec: ModelSpec, facts: dict[str, Any], choice: ThresholdChoice) -> list[str]:
    before, after = facts["ece"]
    labels = " and ".join(spec.reported_labels)
    reason = f"meets {choice['target']}" if choice["target"] else "is the default"
    lines = [
        f"temperature {spec.temperature:.2f}: calibration error {before:.3f} -> {after:.3f} on {facts['images']:,} "
        "held-out images",
        f"threshold {spec.score_threshold:g} {reason}; {choice['after']['label_rate']:.0%} of {labels} get a label",
    ]
    if spec.temperature in TEMPERATURE_BOUNDS:
        direction = "low" if spec.temperature == TEMPERATURE_BOUNDS[0] else "high"
        lines.append(f"scores are still too {direction}, but the temperature is at its limit: are the labels right?")
    if after > max(before, MAX_CALIBRATION_ERROR):
        lines.append(
            "no temperature fixes that: these labels differ in kind from those of the training, or the classes have "
            "other shares; was it trained with --soft-labels?"
        )
    return lines


def _heldout_warnings(spec: ModelSpec, count: int) -> list[str]:
    """A warning when the held-out images cannot be those of the training."""
    held = spec.training.get("val_images", 0)
    if held == count:
        return []
    return [
        f"training held out {held:,} images, but this data has {count:,}: if some were trained on, the scores "
        "are too high; calibrate with the training data"
    ]
