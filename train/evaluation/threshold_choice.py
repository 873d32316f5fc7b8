"""`pocketsight evaluate --threshold-for`: the threshold that keeps a promise, what it costs, and the manifest that remembers it."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.train.evaluation.classifier import Outcomes
from pocketsight.train.evaluation.classifier import rates_at_thresholds as answers_tradeoff
from pocketsight.train.evaluation.detector import DetectionResults, match_scores
from pocketsight.train.evaluation.matching import Match
from pocketsight.train.evaluation.metrics import (
    MIN_SAMPLES,
    FloatArray,
    count_at_least,
    poisson_upper_bound,
    precision_recall_at,
    wilson_interval,
)

TARGET_EXAMPLES = {  # what each task can promise, by example
    "detector": ("precision>=0.99", "recall>=0.9", "false_positives_per_hour<=1 at 10 fps"),
    "classifier": ("labeled_accuracy>=0.97", "label_rate>=0.85", "reject_label_rate<=0.15"),
}
DEFAULT_TARGET = "reject_label_rate<=0.1"  # of a classifier that knows faces to be unsure about
DECREASING = "recall", "label_rate"  # with the threshold: of those that keep the promise the highest costs least
TARGET_PATTERN = re.compile(r"(?P<what>\w+)\s*(?P<sign>>=|<=)\s*(?P<limit>[\d.]+)(?:\s+at\s+(?P<fps>[\d.]+)\s*fps)?")


@dataclass(frozen=True)
class ThresholdTarget:
    """A figure, and how it must be."""

    metric: str
    comparison: str  # ">=" or "<="
    limit: float
    fps: float  # frames a second, for what is counted by the hour; else 0
    text: str

    def choose(self, levels: FloatArray, values: FloatArray) -> float:
        """The threshold that keeps it at the least cost: one of `levels`, rising, at which the figure has `values`.

        Raises DataError when none does.
        """
        kept = values >= self.limit if self.comparison == ">=" else values <= self.limit
        (numbers,) = np.nonzero(kept)
        if not len(numbers):
            nearest = values.max() if self.comparison == ">=" else values.min()
            raise DataError(
                f"--threshold-for {self.text}: no threshold keeps it on these pictures; the nearest is {nearest:.4g}"
            )
        return shortest_threshold(levels, int(numbers[-1] if self.metric in DECREASING else numbers[0]))


def parse_target(text: str, task: str) -> ThresholdTarget:
    """Read a promise like "precision>=0.99". Raises DataError that says what can be asked."""
    found = TARGET_PATTERN.fullmatch(text.strip())
    models = {example.partition("=")[0][:-1]: example for example in TARGET_EXAMPLES[task]}
    if not found or found["what"] not in models:
        examples = " or ".join(f'"{example}"' for example in TARGET_EXAMPLES[task])
        raise DataError(f"--threshold-for {text!r} is not what a {task} can promise; ask for {examples}")
    example = models[found["what"]]
    hourly = "fps" in example
    if found["sign"] not in example or bool(found["fps"]) != hourly:
        raise DataError(f'--threshold-for {text!r} is not of the form "{example}"')
    try:
        limit, fps = float(found["limit"]), float(found["fps"] or 0)
    except ValueError:
        raise DataError(f'--threshold-for {text!r} has a number that is none; write it like "{example}"') from None
    if not hourly and not 0 <= limit <= 1:
        raise DataError(f"--threshold-for {text!r}: {limit:g} is not a share; 99 % is 0.99")
    if hourly and not fps:
        raise DataError(f"--threshold-for {text!r}: at 0 frames a second nothing can be promised")
    return ThresholdTarget(found["what"], found["sign"], limit, fps, text.strip())


def shortest_threshold(levels: FloatArray, index: int) -> float:
    """The shortest decimal that lets through the score of that number and not the one below."""
    high, low = float(levels[index]), float(levels[index - 1]) if index else 0.0
    cuts = (int(high * 10**digits) / 10**digits for digits in range(2, 8))
    return next((cut for cut in cuts if low < cut <= high), high)


def choose_detector_threshold(target: ThresholdTarget, results: DetectionResults, current: float) -> dict[str, Any]:
    """The threshold that keeps the promise, and the figures at it and at the one that was. Raises DataError.

    False alarms are promised by the upper end of their 95 % interval: a few hundred pictures without one say little
    about the 36,000 frames of an hour. They are counted on pictures without faces, where there are FEW or more.
    """
    found, false_positives = match_scores(results.faces), match_scores(results.false_positives)
    relevant, pictures = _false_positive_sample(results)
    per_hour = target.fps * 3600 / pictures
    levels = np.unique(np.concatenate([found[found > 0], false_positives]))

    def bound(thresholds: FloatArray) -> FloatArray:
        return poisson_upper_bound(count_at_least(match_scores(relevant), thresholds)) * per_hour

    def figures(thresholds: FloatArray) -> dict[str, FloatArray]:
        precision, recall, _ = precision_recall_at(found, false_positives, thresholds)
        hourly = {"false_positives_per_hour": bound(thresholds)} if target.fps else {}
        return {"precision": precision, "recall": recall} | hourly

    none = float(poisson_upper_bound(np.zeros(1))[0])
    if target.fps and none * per_hour > target.limit:
        needed = none * target.fps * 3600 / target.limit if target.limit else float("inf")
        raise DataError(
            f"--threshold-for {target.text}: {pictures} pictures cannot show so small a rate; without a single false alarm in "
            f"them it could still be {none * per_hour:,.0f} an hour (95 %). It takes {needed:,.0f} pictures without "
            "one, best of the place where the camera will be"
        )
    threshold = target.choose(levels, figures(levels)[target.metric])
    at = np.array([threshold])
    right, wrong = int(count_at_least(found, at)[0]), int(count_at_least(false_positives, at)[0])
    facts = _choice_record(target.text, threshold, current, figures)
    facts["precision_95"] = [round(end, 4) for end in wilson_interval(right, right + wrong)]
    if target.fps:
        facts |= {"false_positives": int(count_at_least(match_scores(relevant), at)[0]), "images": pictures}
    return facts


def choose_classifier_threshold(target: ThresholdTarget, outcomes: Outcomes, current: float) -> dict[str, Any]:
    """The threshold that keeps the promise, and the figures at it and at the one that was. Raises DataError."""
    if target.metric == "reject_label_rate" and not outcomes.rejects.any():
        raise DataError(f"--threshold-for {target.text}: the data has no folder of other faces, such as _neutral")
    levels = np.unique(outcomes.scores)
    threshold = target.choose(levels, _classifier_rates(outcomes, levels)[target.metric])
    return _choice_record(target.text, threshold, current, partial(_classifier_rates, outcomes))


def auto_threshold(outcomes: Outcomes, current: float) -> dict[str, Any]:
    """The threshold of a classifier that nobody asked to promise anything, and the figures as of `pick_sentiment`.

    It is the one that serves best, raised to where UNASKED is kept if there are other faces; "target" is "" where not.
    """
    threshold, asked = default_threshold(outcomes), ""
    if outcomes.rejects.any():
        with suppress(DataError):  # of few the surest may be another's face: then none keeps it
            threshold = max(
                threshold,
                choose_classifier_threshold(parse_target(DEFAULT_TARGET, "classifier"), outcomes, current)["threshold"],
            )
            asked = DEFAULT_TARGET
    return _choice_record(asked, threshold, current, partial(_classifier_rates, outcomes))


def _classifier_rates(outcomes: Outcomes, thresholds: FloatArray) -> dict[str, FloatArray]:
    """What a classifier can promise, at each threshold."""
    table = answers_tradeoff(outcomes, thresholds)
    sure = 1 - table["wrong"] / np.maximum(table["label_rate"], 1e-9)
    others = {"reject_label_rate": table["reject_label_rate"]} if outcomes.rejects.any() else {}
    return {"labeled_accuracy": np.where(table["label_rate"] > 0, sure, 0), "label_rate": table["label_rate"]} | others


def _choice_record(target: str, threshold: float, current: float, metrics_at: Any) -> dict[str, Any]:
    both = {
        key: [round(float(v), 4) for v in values] for key, values in metrics_at(np.array([current, threshold])).items()
    }
    return {
        "target": target,
        "threshold": threshold,
        "previous_threshold": current,
        "before": {key: values[0] for key, values in both.items()},
        "after": {key: values[1] for key, values in both.items()},
    }


def _false_positive_sample(results: DetectionResults) -> tuple[list[Match], int]:
    """The false alarms that speak for a camera's frames, and of how many pictures they are."""
    empty = sum(not len(seen.truth_boxes) and not len(seen.ignore_boxes) for seen in results.images)
    if empty < MIN_SAMPLES:
        return results.false_positives, len(results.images)
    return [
        spot
        for spot in results.false_positives
        if not len(spot.image_result.truth_boxes) and not len(spot.image_result.ignore_boxes)
    ], empty


def format_choice(choice: dict[str, Any]) -> list[str]:
    """What was picked and what it costs, for people."""
    before, after = choice["before"], choice["after"]
    lines = [f"{choice['asked']}: threshold {choice['threshold']:g}, it was {choice['threshold_before']:g}"]
    for key, value in after.items():
        name = key.replace("_", " ")
        wide = f"{value:,.0f} at most, was {before[key]:,.0f}" if value > 1 else f"{value:.3f}, was {before[key]:.3f}"
        cost = before[key] - value
        price = f": {cost:.1%} of the faces are the price" if key in ("recall", "label_rate") and cost > 0 else ""
        lines.append(f"  {name:22} {wide}{price}")
    if "precision_95" in choice:
        low, high = choice["precision_95"]
        lines.append(f"  on other pictures of this kind precision is {low:.3f} to {high:.3f} (95 %)")
    if "images" in choice:
        lines.append(
            f"  counted: {choice['alarms']} false alarms in {choice['of_pictures']} pictures; the figure is the upper "
            "end of its 95 % interval.\n  Frames of one camera are not independent, though: one coat on a hook passes "
            "for a face in every frame, or in none"
        )
    return lines


def write_threshold(model: Path, choice: dict[str, Any], data: list[str]) -> None:
    """Put the threshold into the manifest of a run folder or a .tflite file. Raises ModelError or DataError."""
    facts = {"target": choice["target"], "data": data, "metrics": choice["after"]}

    def changed(spec: ModelSpec) -> ModelSpec:
        return replace(spec, score_threshold=choice["threshold"], training=spec.training | {"threshold_choice": facts})

    if model.is_dir():
        manifest = model / MANIFEST_NAME
        return atomic_write(manifest, changed(ModelSpec.from_json(manifest.read_text(), manifest)).to_json())
    flatbuffer, spec = read_model_file(model)
    whole = io.BytesIO(pack_model_file(flatbuffer, changed(spec)))
    with ZipFile(model) as old, ZipFile(whole, "a") as new:
        for entry in old.infolist():
            if entry.filename != MANIFEST_NAME:
                new.writestr(entry, old.read(entry))
    atomic_write(model.resolve(), whole.getvalue())


def best_f1_threshold(curve: dict[str, list[float]]) -> float:
    """The score at which precision and recall have the highest harmonic mean (F1)."""
    precision, recall = np.array(curve["precision"]), np.array(curve["recall"])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return round(float(np.clip(curve["score"][int(f1.argmax())], 0.05, 0.95)), 3)


def default_threshold(outcomes: Outcomes) -> float:
    """The threshold that serves best: a right answer counts 1, a wrong one -2, one to a face of no class -1.

    Each as a share of its faces, so that the mix of the pictures does not decide.
    """
    ours, right, count = outcomes.known, outcomes.is_correct, outcomes.known.sum()

    def value(threshold: float) -> float:
        reported = outcomes.scores >= threshold
        called = reported[~ours].mean() if (~ours).any() else 0.0
        return float((reported & right).sum() / count - 2 * (reported & ours & ~right).sum() / count - called)

    return float(max(np.arange(30, 96) / 100, key=value))
