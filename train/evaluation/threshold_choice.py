"""`pocketsight evaluate --threshold-for`: choose the threshold that meets a target at the lowest cost."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.train.evaluation.classifier import Outcomes, rates_at_thresholds
from pocketsight.train.evaluation.detector import DetectionResults, match_scores
from pocketsight.train.evaluation.metrics import (
    MIN_SAMPLES,
    FloatArray,
    count_at_least,
    poisson_upper_bound,
    precision_recall_at,
    wilson_interval,
)
from pocketsight.train.evaluation.reports import Facts, ThresholdChoice

TARGET_EXAMPLES = {  # the possible targets of each task, by example
    "detector": ("precision>=0.99", "recall>=0.9", "false_positives_per_hour<=1 at 10 fps"),
    "classifier": ("labeled_accuracy>=0.97", "label_rate>=0.85", "reject_label_rate<=0.15"),
}
DEFAULT_TARGET = "reject_label_rate<=0.1"  # of a classifier whose data has reject folders
DECREASING = "recall", "label_rate"  # these fall as the threshold rises, so the highest threshold costs least
MAX_MARGIN = 0.05  # between a threshold and the score above it
TARGET_PATTERN = re.compile(
    r"(?P<metric>\w+)\s*(?P<comparison>>=|<=)\s*(?P<limit>[\d.]+)(?:\s+at\s+(?P<fps>[\d.]+)\s*fps)?"
)

MetricsFn = Callable[[FloatArray], dict[str, FloatArray]]  # thresholds (T,) -> metrics (T,) by name


@dataclass(frozen=True)
class ThresholdTarget:
    """A metric and its limit."""

    metric: str
    comparison: str  # ">=" or "<="
    limit: float
    fps: float  # frames per second, for a rate by the hour; else 0
    text: str

    def choose(self, levels: FloatArray, values: FloatArray) -> float:
        """The threshold that meets the target at the lowest cost.

        It is one of `levels` (L,), rising scores at which the metric has `values` (L,). Raises DataError when none
        meets the target.
        """
        met = values >= self.limit if self.comparison == ">=" else values <= self.limit
        (numbers,) = np.nonzero(met)
        if not len(numbers):
            nearest = values.max() if self.comparison == ">=" else values.min()
            raise DataError(
                f"--threshold-for {self.text}: no threshold meets it on these images; the nearest is {nearest:.4g}"
            )
        return shortest_threshold(levels, int(numbers[-1] if self.metric in DECREASING else numbers[0]))


def parse_target(text: str, task: str) -> ThresholdTarget:
    """Read a target like "precision>=0.99". Raises DataError that names the possible targets."""
    found = TARGET_PATTERN.fullmatch(text.strip())
    known = {example.partition("=")[0][:-1]: example for example in TARGET_EXAMPLES[task]}
    if not found or found["metric"] not in known:
        examples = " or ".join(f'"{example}"' for example in TARGET_EXAMPLES[task])
        raise DataError(f"--threshold-for {text!r} is not a target for a {task}; use {examples}")
    example = known[found["metric"]]
    hourly = "fps" in example
    if found["comparison"] not in example or bool(found["fps"]) != hourly:
        raise DataError(f'--threshold-for {text!r} is not of the form "{example}"')
    try:
        limit, fps = float(found["limit"]), float(found["fps"] or 0)
    except ValueError:
        raise DataError(f'--threshold-for {text!r} has a malformed number; write it like "{example}"') from None
    if not hourly and not 0 <= limit <= 1:
        raise DataError(f"--threshold-for {text!r}: {limit:g} is not between 0 and 1; write 99 % as 0.99")
    if hourly and not fps:
        raise DataError(f"--threshold-for {text!r}: the frame rate must be above 0 fps")
    return ThresholdTarget(found["metric"], found["comparison"], limit, fps, text.strip())


def shortest_threshold(levels: FloatArray, index: int) -> float:
    """The shortest decimal that the score `levels[index]` reaches and the one below it does not."""
    high, low = float(levels[index]), float(levels[index - 1]) if index else 0.0
    cuts = (int(high * 10**digits) / 10**digits for digits in range(2, 8))
    return next((cut for cut in cuts if low < cut <= high), high)


def choose_detector_threshold(target: ThresholdTarget, results: DetectionResults, current: float) -> ThresholdChoice:
    """The threshold that meets the target, and the metrics at it and at `current`. Raises DataError when none does.

    A rate of false positives is the upper end of its 95 % interval, since a few hundred images without one say little
    about the 36,000 frames of an hour. It is counted on images without faces, where there are MIN_SAMPLES or more.
    """
    true_scores, false_scores = match_scores(results.faces), results.false_positives.scores()
    sample, image_count = _false_positive_sample(results)
    per_hour = target.fps * 3600 / image_count
    if target.fps:
        _require_enough_images(target, per_hour, image_count)

    def metrics(thresholds: FloatArray) -> dict[str, FloatArray]:
        precision, recall, _ = precision_recall_at(true_scores, false_scores, thresholds)
        if not target.fps:
            return {"precision": precision, "recall": recall}
        bound = poisson_upper_bound(count_at_least(sample, thresholds)) * per_hour
        return {"precision": precision, "recall": recall, "false_positives_per_hour": bound}

    levels = np.unique(np.concatenate([true_scores[true_scores > 0], false_scores]))
    threshold = target.choose(levels, metrics(levels)[target.metric])
    at = np.array([threshold])
    right, wrong = int(count_at_least(true_scores, at)[0]), int(count_at_least(false_scores, at)[0])
    choice = _threshold_choice(target.text, threshold, current, metrics)
    choice["precision_95"] = [round(end, 4) for end in wilson_interval(right, right + wrong)]
    if target.fps:
        choice["false_positives"] = int(count_at_least(sample, at)[0])
        choice["images"] = image_count
    return choice


def choose_by_label(target: ThresholdTarget, results: DetectionResults, spec: ModelSpec) -> dict[str, ThresholdChoice]:
    """For each label with objects in the images, the choice for it alone. Raises DataError when none meets the target.

    A detector of one label has one choice.
    """
    if not results.by_label:
        return {spec.labels[0]: choose_detector_threshold(target, results, spec.score_threshold)}
    choices = {}
    for label, current in zip(spec.labels, spec.label_thresholds, strict=True):
        if results.by_label[label].faces:
            try:
                choices[label] = choose_detector_threshold(target, results.by_label[label], current)
            except DataError as error:
                raise DataError(f"{label}: {error}") from error
    return choices


def _require_enough_images(target: ThresholdTarget, per_hour: float, image_count: int) -> None:
    """Raise DataError when even no false positive at all would not prove the rate."""
    bound = float(poisson_upper_bound(np.zeros(1))[0])
    if bound * per_hour <= target.limit:
        return
    needed = bound * target.fps * 3600 / target.limit if target.limit else float("inf")
    raise DataError(
        f"--threshold-for {target.text}: {image_count} images cannot prove this rate; even without a false "
        f"positive it could be {bound * per_hour:,.0f} per hour (95 %). Use at least {needed:,.0f} images "
        "without a false positive, ideally from the place of the camera"
    )


def _false_positive_sample(results: DetectionResults) -> tuple[FloatArray, int]:
    """Scores (N,) of the false positives that represent the frames of a camera, and the number of their images."""
    empty = sum(not len(image.truth_boxes) and not len(image.ignore_boxes) for image in results.images)
    if empty < MIN_SAMPLES:
        return results.false_positives.scores(), len(results.images)
    return results.false_positives.scores(images_without_boxes=True), empty


def choose_classifier_threshold(target: ThresholdTarget, outcomes: Outcomes, current: float) -> ThresholdChoice:
    """The threshold that meets the target, and the metrics at it and at `current`. Raises DataError when none does."""
    if target.metric == "reject_label_rate" and not outcomes.rejects.any():
        raise DataError(f"--threshold-for {target.text}: the data has no reject folder, such as _neutral")
    levels = np.unique(outcomes.scores)
    threshold = target.choose(levels, _classifier_rates(outcomes, levels)[target.metric])
    return _threshold_choice(target.text, threshold, current, partial(_classifier_rates, outcomes))


def auto_threshold(outcomes: Outcomes, current: float) -> ThresholdChoice:
    """The threshold of a classifier without a target, and the metrics at it and at `current`.

    It is `default_threshold`, raised until DEFAULT_TARGET is met if there are rejects; "target" is "" otherwise.
    """
    threshold, text = default_threshold(outcomes), ""
    if outcomes.rejects.any():
        target = parse_target(DEFAULT_TARGET, "classifier")
        with suppress(DataError):  # where a reject has the highest score, no threshold meets it
            threshold = max(threshold, choose_classifier_threshold(target, outcomes, current)["threshold"])
            text = DEFAULT_TARGET
    return _threshold_choice(text, threshold, current, partial(_classifier_rates, outcomes))


def _classifier_rates(outcomes: Outcomes, thresholds: FloatArray) -> dict[str, FloatArray]:
    """The metrics that a target can name, at each threshold."""
    rates = rates_at_thresholds(outcomes, thresholds)
    accuracy = 1 - rates["error_rate"] / np.maximum(rates["label_rate"], 1e-9)
    rejects = {"reject_label_rate": rates["reject_label_rate"]} if outcomes.rejects.any() else {}
    labeled_accuracy = np.where(rates["label_rate"] > 0, accuracy, 0)
    return {"labeled_accuracy": labeled_accuracy, "label_rate": rates["label_rate"]} | rejects


def _threshold_choice(target: str, threshold: float, current: float, metrics_at: MetricsFn) -> ThresholdChoice:
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


def choice_facts(choice: ThresholdChoice, data: list[str]) -> Facts:
    """The entry `training.threshold_choice` of a manifest. `data` are the names of the data sets."""
    return {"target": choice["target"], "data": data, "metrics": choice["after"]}


def write_threshold(model: Path, choices: Mapping[str, ThresholdChoice], data: list[str]) -> None:
    """Write thresholds into the manifest of a run folder or a .tflite file. Raises ModelError or DataError.

    `choices` are those of labels of a detector; of a classifier that of "".
    """
    facts = choice_facts(next(iter(choices.values())), data)
    if len(choices) > 1:
        facts["metrics"] = {label: choice["after"] for label, choice in choices.items()}

    def changed(spec: ModelSpec) -> ModelSpec:
        spec = replace(spec, training=spec.training | {"threshold_choice": facts})
        if spec.task == "classifier":
            return replace(spec, score_threshold=choices[""]["threshold"])
        own = dict(zip(spec.labels, spec.label_thresholds, strict=True))
        return spec.with_thresholds(own | {label: choice["threshold"] for label, choice in choices.items()})

    if model.is_dir():
        manifest = model / MANIFEST_NAME
        return atomic_write(manifest, changed(ModelSpec.from_json(manifest.read_text(), manifest)).to_json())
    flatbuffer, spec = read_model_file(model)
    packed = io.BytesIO(pack_model_file(flatbuffer, changed(spec)))
    with ZipFile(model) as old, ZipFile(packed, "a") as new:
        for entry in old.infolist():
            if entry.filename != MANIFEST_NAME:
                new.writestr(entry, old.read(entry))
    atomic_write(model.resolve(), packed.getvalue())


def best_f1_threshold(true_scores: FloatArray, false_scores: FloatArray) -> float:
    """The threshold with the highest harmonic mean of precision and recall (F1), within 0.05 to 0.95.

    The scores are as in `precision_recall_at`. The threshold is below the score that it reaches, halfway to the next
    one but at most MAX_MARGIN: at the score itself a small change, such as by quantization, would lose the face.
    """
    levels = np.unique(np.concatenate([true_scores[true_scores > 0], false_scores]))
    if not len(levels):
        return 0.5
    precision, recall, _ = precision_recall_at(true_scores, false_scores, levels)
    index = int((2 * precision * recall / np.maximum(precision + recall, 1e-9)).argmax())
    below = float(levels[index - 1]) if index else 0.0
    threshold = levels[index] - min((levels[index] - below) / 2, MAX_MARGIN)
    return round(float(np.clip(threshold, 0.05, 0.95)), 3)


def best_f1_thresholds(results: DetectionResults) -> dict[str, float]:
    """`best_f1_threshold` of each label."""
    parts = results.by_label or {results.labels[0]: results}
    return {
        label: best_f1_threshold(match_scores(part.faces), part.false_positives.scores())
        for label, part in parts.items()
    }


def default_threshold(outcomes: Outcomes) -> float:
    """The threshold of the highest value, within 0.30 to 0.95.

    A right label counts 1, a wrong one -2, a label for a reject -1, each as a share of its faces, so that the mix of
    the data does not matter.
    """
    known, right, count = outcomes.known, outcomes.is_correct, outcomes.known.sum()

    def value(threshold: float) -> float:
        labeled = outcomes.scores >= threshold
        rejects = labeled[~known].mean() if (~known).any() else 0.0
        return float((labeled & right).sum() / count - 2 * (labeled & known & ~right).sum() / count - rejects)

    return float(max(np.arange(30, 96) / 100, key=value))
