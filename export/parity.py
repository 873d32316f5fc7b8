"""Proof that the exported file does what the trained net does, through the board's own `detect` and `classify`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError, ParityError
from pocketsight.device.image import Image
from pocketsight.device.interpreter import Loaded
from pocketsight.train.answers import score_sentiment
from pocketsight.train.score import score_detector
from pocketsight.train.verdict import scoring

LIMITS = {"ap50": 0.01, "accuracy": 0.005}


def compare(trained: Loaded, exported: Loaded, samples: Sequence[Image], held_out: Sequence[Any]) -> dict[str, Any]:
    """Largest and mean difference of each output on `samples`, and AP50 or accuracy of both on `held_out`.

    "loss" is how much lower the exported one scores; negative where it happens to score higher.
    """
    facts: dict[str, Any] = {"difference": differences(trained, exported, samples), "pictures": len(held_out)}
    if not held_out:
        return facts
    score: Any
    if exported.spec.task == "detector":
        metric, score = "ap50", score_detector
    else:
        metric, score = "accuracy", score_sentiment
    try:
        before, after = (score(model, held_out, track=scoring)[metric] for model in (trained, exported))
    except DataError:  # nothing in them counts
        return facts
    return facts | {"metric": metric, "trained": before, "exported": after, "loss": round(before - after, 4)}


def differences(trained: Loaded, exported: Loaded, samples: Sequence[Image]) -> dict[str, dict[str, float]]:
    """For each output the largest and the mean absolute difference between the two models, in real numbers."""
    gaps: dict[str, list[Any]] = {}
    for sample in samples:
        a, b = trained.model(sample), exported.model(sample)
        for name in a:
            gaps.setdefault(name, []).append(np.abs(a[name].real() - b[name].real()))
    return {
        name: {"largest": round(float(np.max(gap)), 4), "mean": round(float(np.mean(gap)), 5)}
        for name, gap in sorted(gaps.items())
    }


def demand(facts: dict[str, Any], limit: float | None) -> None:
    """Raise ParityError when more than `limit` was lost.

    None stands for 0.01 AP50 or 0.005 accuracy, or what a single picture accounts for where there are few.
    """
    if "loss" not in facts:
        return
    if limit is None:
        limit = max(LIMITS[facts["metric"]], 1.5 / facts["pictures"])
    if facts["loss"] > limit:
        raise ParityError(
            f"the exported model loses {facts['loss']:.4f} {facts['metric']} on {facts['pictures']} held-out pictures, "
            f"the limit is {limit:g}; calibrate with more pictures like those it will see, or allow it by --limit. "
            "Nothing was written"
        )
