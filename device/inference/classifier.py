"""Classify faces, for example as happy or sad: crop, inference, softmax, threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.system.stage_timer import StageHook, no_timing
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.crop import crop_center, crop_face, crop_stretched
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.pixels import choose_reduction

Probabilities = NDArray[np.float32]
"""(classes,): 0..1, with the sum 1."""

UNSURE = "unsure"
"""The label of a face whose best score is below the threshold."""

# How far the crops of `pocketsight data crops` extend beyond the box of the face, as a fraction of its longer side.
FACE_CROP_MARGIN = 0.14

# Half a step of an int8 score. Scores are kept this far from 0 and 1, where the logit is infinite.
SCORE_EPSILON = 1 / 512


CROPS = {"": crop_face, "center": crop_center, "stretch": crop_stretched}
"""By the `fit` of a manifest."""


@dataclass(frozen=True)
class Classification:
    """The result of the classifier for one face.

    `label` is one of the labels of the model, or "unsure" if the score is below the threshold. `score` (0..1) is the
    confidence in the most likely label, also for "unsure"; `best_index` is the index of that label.
    """

    label: str
    score: float
    best_index: int


def classify(image: Image, box: Box, classifier: Model, end_stage: StageHook = no_timing) -> Classification:
    """Classify the face inside `box`, in pixels of the RGB image (H, W, 3), uint8.

    `end_stage` is called with the name of each stage when it ends.
    """
    return to_classification(predict_probabilities(image, box, classifier, end_stage), classifier.spec)


def crop_reduction(box: Box, spec: ModelSpec) -> int:
    """The largest reduction of a frame that still shows the face inside `box` as large as the classifier sees it."""
    side = min(box.width, box.height) if spec.fit else box.longer_side
    return choose_reduction(max(spec.input_size) / max(1.0, side * (1 + 2 * spec.crop_margin)))


def predict_probabilities(image: Image, box: Box, classifier: Model, end_stage: StageHook = no_timing) -> Probabilities:
    """The probability of each class, (classes,), for the face inside `box`, in pixels of the RGB image (H, W, 3)."""
    spec = classifier.spec
    face = CROPS[spec.fit](image, box, spec.crop_margin, spec.input_size)
    end_stage("crop")
    probabilities = to_probabilities(classifier.infer(face), spec.temperature)
    end_stage("classify")
    return probabilities


def to_classification(class_probabilities: Probabilities, spec: ModelSpec) -> Classification:
    """The most likely of the reported labels, or "unsure" if its probability is below the threshold of the model."""
    scores = class_probabilities[: len(spec.reported_labels)]
    best = int(scores.argmax())
    score = float(scores[best])
    return Classification(spec.labels[best] if score >= spec.score_threshold else UNSURE, score, best)


def to_probabilities(outputs: Mapping[str, QuantizedTensor], temperature: float = 1.0) -> Probabilities:
    """Probabilities (classes,) from the output "logits" (classes,), from "score" (1,), that of the second of two, or
    from "probabilities", which are those of another program.

    Logits are divided by `temperature` first (Guo et al. 2017, arXiv 1706.04599); a score is converted to a logit.
    """
    if "logits" in outputs:
        return softmax(outputs["logits"], temperature).ravel()
    if "probabilities" in outputs:
        return outputs["probabilities"].dequantize().ravel()
    score = min(max(float(outputs["score"].dequantize().ravel()[0]), SCORE_EPSILON), 1 - SCORE_EPSILON)
    first, second = (1 - score) ** (1 / temperature), score ** (1 / temperature)
    return np.array([first / (first + second), second / (first + second)], np.float32)


def softmax(logits: QuantizedTensor, temperature: float = 1.0) -> Probabilities:
    """Probabilities (classes,) of logits (classes,). In NumPy, since the operator would split the int8 graph."""
    values = logits.dequantize()
    values -= values.max()
    values /= temperature
    powers = np.exp(values, out=values)
    powers /= powers.sum()
    return powers
