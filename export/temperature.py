"""How sure a classifier may sound: a temperature for its scores and a threshold, fitted to the file the board runs.

The temperature is that of Guo et al., "On calibration of modern neural networks" (2017): logits divided by one number.
It leaves open which class is the most likely. Fitted before quantization it would be that of another net.
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
from pocketsight.train.evaluation.threshold_choice import (
    DEFAULT_TARGET,
    auto_threshold,
    choose_classifier_threshold,
    parse_target,
)

TEMPERATURE_BOUNDS = 0.25, 4.0  # a temperature beyond them says that something else is wrong
MAX_CALIBRATION_ERROR = 0.05  # calibration error


def prepare_spec(spec: ModelSpec, target: str | None, soft_labels: Sequence[Path]) -> ModelSpec:
    """The spec of a run, at temperature 1: another one is of a file that was exported before.

    Raises DataError when what is `asked` is nothing that a classifier can promise, or it is a detector.
    """
    if spec.task == "detector" and (target or soft_labels):
        raise DataError(
            "--threshold-for and --soft-labels are for a classifier; choose a detector's threshold by: "
            "pocketsight evaluate RUN --data DATA --threshold-for PROMISE"
        )
    if target:
        parse_target(target, "classifier")
    known = spec.training.get("soft_labels", [])
    if known and not soft_labels:
        log_message(
            f"it learned from the votes in {', '.join(known)}: give them by --soft-labels, or its temperature will not fit"
        )
    return replace(spec, temperature=1.0)


def calibrate(
    exported: Model, heldout: Sequence[ClassificationSample], target: str | None, soft_labels: Sequence[Path]
) -> ModelSpec:
    """The spec of the file with temperature and threshold; says what was done. A detector's stays as it is.

    Raises DataError when no threshold keeps what was asked.
    """
    if exported.spec.task == "detector":
        return exported.spec
    if heldout:
        spec, lines = fit_calibration(exported, heldout, target, bool(soft_labels), scoring_progress)
    else:
        few = f"fewer than {MIN_SAMPLES} pictures of {' and '.join(exported.spec.reported_labels)} are held out from training"
        if target:
            raise DataError(f"--threshold-for {target}: {few}, too few to choose a threshold on. Nothing was written")
        spec, lines = exported.spec, [f"{few}: too few to fit a temperature, so scores and threshold stay as trained"]
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
    """The spec with a temperature and a threshold, and what was done, for people.

    `exported` is the file as it will be written, its temperature 1; `unseen` is what training held out. `asked` is a
    promise like "reject_label_rate<=0.1"; without one see `choose`. `by_votes`: the voters' majority is the truth.
    """
    spec, skipped = exported.spec, list[str]()
    readable_samples, logits = collect_logits(exported, heldout, skipped, track)
    if not any(portrait.label < len(spec.labels) for portrait in readable_samples):
        raise DataError(f"none of {len(heldout)} pictures that training held out can be read; {skipped[0]}")
    odds = np.array([portrait.soft_label for portrait in readable_samples], np.float64)[:, : len(spec.labels)]
    known = odds.sum(1) > 0  # a class that the net has not got tells nothing about its scores
    weights = sampling_weights(
        [portrait for portrait, knows in zip(readable_samples, known.tolist(), strict=True) if knows]
    )
    facts = temperature_report(
        logits[known], odds[known] / odds[known].sum(1, keepdims=True), len(spec.reported_labels), weights
    )
    spec = replace(
        spec, temperature=facts["temperature"], calibration=spec.calibration | {"temperature_scaling": facts}
    )
    predictions = [
        Prediction(portrait, board.to_classification(board.softmax(QuantizedTensor(row), spec.temperature), spec))
        for portrait, row in zip(readable_samples, logits.astype(np.float32), strict=True)
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
    """The temperature, and loss and calibration error at 1 and at it, for the manifest.

    `weights` (N,) of the pictures are those of training, since other shares of the classes want other scores.
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
    loaded: Model, portraits: Sequence[ClassificationSample], skipped: list[str], track: ProgressFn = iter
) -> tuple[list[ClassificationSample], FloatArray]:
    """Those that can be read, and their logits (N, classes) less a constant each, by the board's own `weigh`."""
    uncalibrated = Model(loaded.infer, replace(loaded.spec, temperature=1.0))
    seen, rows = [], []
    for portrait, image in iter_readable(track(portraits), skipped):
        rows.append(board.predict_probabilities(image, get_face_box(portrait, image), uncalibrated))
        seen.append(portrait)
    found = np.array(rows, np.float64).reshape(len(rows), len(loaded.spec.labels))
    return seen, np.log(np.maximum(found, np.finfo(np.float32).tiny))


def log_softmax(logits: FloatArray, temperature: float) -> FloatArray:
    """(N, classes): logarithms of the probabilities at a temperature."""
    cool = (logits - logits.max(1, keepdims=True)) / temperature
    return np.asarray(cool - np.log(np.exp(cool).sum(1, keepdims=True)), np.float64)


def negative_log_likelihood(
    logits: FloatArray, targets: FloatArray, temperature: float, weights: FloatArray | None = None
) -> float:
    """Mean negative log-likelihood of soft labels `odds` (N, classes) at a temperature."""
    return float(-np.average((targets * log_softmax(logits, temperature)).sum(1), weights=weights))


def expected_calibration_error(
    logits: FloatArray, targets: FloatArray, temperature: float, reported_count: int, weights: FloatArray | None = None
) -> float:
    """Calibration error (ECE) of the most likely answers at a temperature; each is right by its odds."""
    best = logits[:, :reported_count].argmax(1)[:, np.newaxis]
    scores = np.exp(np.take_along_axis(log_softmax(logits, temperature), best, 1))
    return calibration_error(scores[:, 0], np.take_along_axis(targets, best, 1)[:, 0], weights)


def fit_temperature(logits: FloatArray, targets: FloatArray, weights: FloatArray | None = None) -> float:
    """The temperature at which `loss` is least, within BOUNDS.

    One picture's weight of labels that say nothing is added: where a few pictures are all right, the best score would
    else be 1 without end.
    """
    from scipy.optimize import minimize_scalar

    uniform = np.full_like(targets, 1 / targets.shape[1])
    mixed = (targets * len(targets) + uniform) / (len(targets) + 1)
    low, high = map(log, TEMPERATURE_BOUNDS)
    found = minimize_scalar(
        lambda t: negative_log_likelihood(logits, mixed, exp(t), weights),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return next((bound for bound in TEMPERATURE_BOUNDS if abs(exp(found.x) - bound) < 1e-3), exp(found.x))


def choose_threshold(outcomes: Outcomes, spec: ModelSpec, target: str | None) -> dict[str, Any]:
    """The threshold that keeps what was asked now; or else what the run was picked by, if that can be kept here."""
    if target:
        return choose_classifier_threshold(parse_target(target, "classifier"), outcomes, spec.score_threshold)
    before = spec.training.get("threshold_choice", {}).get("target", DEFAULT_TARGET)
    if before != DEFAULT_TARGET:  # which `settle` keeps too
        with suppress(DataError):
            return choose_classifier_threshold(parse_target(before, "classifier"), outcomes, spec.score_threshold)
    return auto_threshold(outcomes, spec.score_threshold)


def _record_threshold_target(spec: ModelSpec, choice: dict[str, Any]) -> dict[str, Any]:
    """Training facts with the promise, as `pocketsight evaluate --threshold-for` writes them."""
    facts = {name: fact for name, fact in spec.training.items() if name != "threshold_choice"}
    if not choice["target"]:
        return facts
    data = spec.calibration.get("data", [])
    return facts | {"threshold_choice": {"target": choice["target"], "data": data, "metrics": choice["after"]}}


def _summary_lines(spec: ModelSpec, facts: dict[str, Any], choice: dict[str, Any]) -> list[str]:
    before, after = facts["ece"]
    answers = " and ".join(spec.reported_labels)
    does = f"keeps {choice['target']} and" if choice["target"] else "serves best and"
    lines = [
        f"temperature {spec.temperature:.2f}: calibration error {before:.3f} -> {after:.3f} on {facts['images']:,} "
        "pictures held out",
        f"threshold {spec.score_threshold:g} {does} answers {choice['after']['label_rate']:.0%} of {answers}",
    ]
    if spec.temperature in TEMPERATURE_BOUNDS:
        way = "low" if spec.temperature == TEMPERATURE_BOUNDS[0] else "high"
        lines.append(f"its scores are still too {way}, but no temperature goes further: are the labels right?")
    if after > max(before, MAX_CALIBRATION_ERROR):
        lines.append(
            "no temperature mends that: these labels are of another kind than those it learned from, or other "
            "classes are frequent; was it trained with --soft-labels?"
        )
    return lines


def _heldout_warnings(spec: ModelSpec, count: int) -> list[str]:
    """A warning where the pictures that are held out now are surely not those that training held out."""
    held = spec.training.get("val_images", 0)
    if held == count:
        return []
    return [
        f"training held out {held:,} pictures, and here are {count:,}: if it learned from some of them, the scores "
        "come out too high; calibrate with the data of the training"
    ]
