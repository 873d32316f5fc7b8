"""Prove that the exported file predicts like the trained network, with the board's own `detect` and `classify`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError, ParityError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.image import Image
from pocketsight.train.console import log_message, scoring_progress
from pocketsight.train.evaluation.classifier import evaluate_classifier
from pocketsight.train.evaluation.detector import evaluate_detector

MAX_LOSS = {"ap50": 0.01, "accuracy": 0.005}


def compare_models(
    trained: Model, exported: Model, samples: Sequence[Image], parity_samples: Sequence[Any]
) -> dict[str, Any]:
    """The parity report, for the manifest.

    It has the largest and mean difference of each output on `samples` (model inputs), and AP50 or accuracy of both
    models on `parity_samples` (DetectionSample or ClassificationSample). "loss" is how much lower the exported model
    scores; it is negative where that scores higher.
    """
    facts: dict[str, Any] = {
        "output_difference": output_differences(trained, exported, samples),
        "images": len(parity_samples),
    }
    if not parity_samples:
        return facts
    metric = "ap50" if exported.spec.task == "detector" else "accuracy"
    try:
        before, after = (score_model(model, parity_samples) for model in (trained, exported))
    except DataError:  # nothing in the samples counts
        return facts
    return facts | {"metric": metric, "trained": before, "exported": after, "loss": round(before - after, 4)}


def score_model(model: Model, samples: Sequence[Any]) -> float:
    if model.spec.task == "detector":
        return evaluate_detector(model, samples, progress=scoring_progress)["ap50"]
    return evaluate_classifier(model, samples, progress=scoring_progress)["accuracy"]


def output_differences(trained: Model, exported: Model, samples: Sequence[Image]) -> dict[str, dict[str, float]]:
    """For each output the largest and the mean absolute difference between the two models, dequantized."""
    differences: dict[str, list[Any]] = {}
    for sample in samples:
        a, b = trained.infer(sample), exported.infer(sample)
        for name in a:
            differences.setdefault(name, []).append(np.abs(a[name].dequantize() - b[name].dequantize()))
    return {
        name: {"max_abs": round(float(np.max(values)), 4), "mean_abs": round(float(np.mean(values)), 5)}
        for name, values in sorted(differences.items())
    }


def require_parity(facts: dict[str, Any], max_loss: float | None, force: bool = False) -> None:
    """Raise ParityError when the loss exceeds `max_loss`, or when there is none to measure, unless `force`.

    None: 0.01 AP50 or 0.005 accuracy, or the share of a single image where there are few.
    """
    if "loss" not in facts:
        if not force:
            raise ParityError(
                f"not proved: nothing in {facts['images']} held-out images could be scored. Give more labeled images "
                "with --calibration-data, or write the file unproved with --force. Nothing was written"
            )
        log_message("not proved: nothing could be scored; evaluate the file before you use it")
        return
    if max_loss is None:
        max_loss = max(MAX_LOSS[facts["metric"]], 1.5 / facts["images"])
    if facts["loss"] > max_loss:
        raise ParityError(
            f"the exported model loses {facts['loss']:.4f} {facts['metric']} on {facts['images']} held-out images; "
            f"the limit is {max_loss:g}. Calibrate with more images like those of the camera, or allow it with "
            "--max-loss. Nothing was written"
        )
