"""Proof that the exported file does what the trained net does, through the board's own `detect` and `classify`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError, ParityError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.image import Image
from pocketsight.train.console import scoring_progress
from pocketsight.train.evaluation.classifier import evaluate_classifier
from pocketsight.train.evaluation.detector import evaluate_detector

MAX_LOSS = {"ap50": 0.01, "accuracy": 0.005}


def compare_models(
    trained: Model, exported: Model, samples: Sequence[Image], parity_samples: Sequence[Any]
) -> dict[str, Any]:
    """Largest and mean difference of each output on `samples`, and AP50 or accuracy of both on `held_out`.

    "loss" is how much lower the exported one scores; negative where it happens to score higher.
    """
    facts: dict[str, Any] = {
        "output_difference": output_differences(trained, exported, samples),
        "images": len(parity_samples),
    }
    if not parity_samples:
        return facts
    score: Any
    if exported.spec.task == "detector":
        metric, score = "ap50", evaluate_detector
    else:
        metric, score = "accuracy", evaluate_classifier
    try:
        before, after = (score(model, parity_samples, track=scoring_progress)[metric] for model in (trained, exported))
    except DataError:  # nothing in them counts
        return facts
    return facts | {"metric": metric, "trained": before, "exported": after, "loss": round(before - after, 4)}


def output_differences(trained: Model, exported: Model, samples: Sequence[Image]) -> dict[str, dict[str, float]]:
    """For each output the largest and the mean absolute difference between the two models, in real numbers."""
    gaps: dict[str, list[Any]] = {}
    for sample in samples:
        a, b = trained.infer(sample), exported.infer(sample)
        for name in a:
            gaps.setdefault(name, []).append(np.abs(a[name].dequantize() - b[name].dequantize()))
    return {
        name: {"max_abs": round(float(np.max(gap)), 4), "mean_abs": round(float(np.mean(gap)), 5)}
        for name, gap in sorted(gaps.items())
    }


def require_parity(facts: dict[str, Any], max_loss: float | None) -> None:
    """Raise ParityError when more than `limit` was lost.

    None stands for 0.01 AP50 or 0.005 accuracy, or what a single picture accounts for where there are few.
    """
    if "loss" not in facts:
        return
    if max_loss is None:
        max_loss = max(MAX_LOSS[facts["metric"]], 1.5 / facts["images"])
    if facts["loss"] > max_loss:
        raise ParityError(
            f"the exported model loses {facts['loss']:.4f} {facts['metric']} on {facts['images']} held-out pictures, "
            f"the limit is {max_loss:g}; calibrate with more pictures like those it will see, or allow it by --max-loss. "
            "Nothing was written"
        )
