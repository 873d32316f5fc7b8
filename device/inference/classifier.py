"""From a face to happy or sad."""

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
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import Image

Probabilities = NDArray[np.float32]  # (classes,): 0..1

UNSURE = "unsure"
FACE_CROP_MARGIN = 0.14  # how far a portrait, as `pocketsight data crops` cuts it, reaches beyond the face's box
SCORE_EPSILON = 1 / 512  # half a step of an int8 score: no score is nearer to 0 or 1, or its logit would be infinite


@dataclass(frozen=True)
class Classification:
    """What the classifier says of one face."""

    label: str  # one of the spec's labels, or "unsure" below its threshold
    score: float  # 0..1, of the most likely label, also where that is not sure enough to be said
    best_index: int  # index of the most likely label that is an answer


def classify(image: Image, box: Box, classifier: Model, end_stage: StageHook = no_timing) -> Classification:
    """Name the expression of the face inside `box`, in pixels of the RGB image (H, W, 3)."""
    return to_classification(predict_probabilities(image, box, classifier, end_stage), classifier.spec)


def predict_probabilities(image: Image, box: Box, classifier: Model, end_stage: StageHook = no_timing) -> Probabilities:
    """How likely each class is for the face inside `box`, in pixels of the RGB image (H, W, 3)."""
    spec = classifier.spec
    face = crop_face(image, box, spec.crop_margin, spec.input_size)
    end_stage("crop")
    found = to_probabilities(classifier.infer(face), spec.temperature)
    end_stage("classify")
    return found


def to_classification(class_probabilities: Probabilities, spec: ModelSpec) -> Classification:
    """The most likely answer, or "unsure" where it is below the threshold."""
    scores = class_probabilities[: len(spec.reported_labels)]
    best = int(scores.argmax())
    score = float(scores[best])
    return Classification(spec.labels[best] if score >= spec.score_threshold else UNSURE, score, best)


def to_probabilities(outputs: Mapping[str, QuantizedTensor], temperature: float = 1.0) -> Probabilities:
    """(classes,): from the outputs of a net, which are logits (classes,), or the score (1,) of the second of two.

    Logits are divided by `temperature` before they become probabilities (Guo et al. 2017); a score through its logit.
    """
    if "score" not in outputs:
        return softmax(outputs["logits"], temperature)
    score = min(max(float(outputs["score"].dequantize(0)), SCORE_EPSILON), 1 - SCORE_EPSILON)
    first, second = (1 - score) ** (1 / temperature), score ** (1 / temperature)
    return np.array([first / (first + second), second / (first + second)], np.float32)


def softmax(logits: QuantizedTensor, temperature: float = 1.0) -> Probabilities:
    """(classes,): probabilities. In numpy, since as an operator it would split the int8 graph."""
    real = logits.dequantize()
    real -= real.max()
    real /= temperature
    powers = np.exp(real, out=real)
    powers /= powers.sum()
    return powers
