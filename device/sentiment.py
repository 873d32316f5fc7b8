"""From a face to happy or sad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.boxes import Box
from pocketsight.device.image import Image, crop
from pocketsight.device.interpreter import Loaded
from pocketsight.device.spec import ModelSpec
from pocketsight.device.tensor import Tensor
from pocketsight.device.timing import Lap, no_lap

Probabilities = NDArray[np.float32]  # (classes,): 0..1

UNSURE = "unsure"
MARGIN = 0.14  # how far a portrait, as `pocketsight data crops` cuts it, reaches beyond the face's box
EDGE = 1 / 512  # half a step of an int8 score: no score is nearer to 0 or 1, or its logit would be infinite


@dataclass(frozen=True)
class Sentiment:
    """What the classifier says of one face."""

    label: str  # one of the spec's labels, or "unsure" below its threshold
    score: float  # 0..1, of the most likely label, also where that is not sure enough to be said
    best: int  # index of the most likely label that is an answer


def classify(image: Image, box: Box, sentiment: Loaded, lap: Lap = no_lap) -> Sentiment:
    """Name the expression of the face inside `box`, in pixels of the RGB image (H, W, 3)."""
    return name(weigh(image, box, sentiment, lap), sentiment.spec)


def weigh(image: Image, box: Box, sentiment: Loaded, lap: Lap = no_lap) -> Probabilities:
    """How likely each class is for the face inside `box`, in pixels of the RGB image (H, W, 3)."""
    spec = sentiment.spec
    face = crop(image, box, spec.margin, spec.size)
    lap("crop")
    found = probabilities(sentiment.model(face), spec.temperature)
    lap("classify")
    return found


def name(found: Probabilities, spec: ModelSpec) -> Sentiment:
    """The most likely answer, or "unsure" where it is below the threshold."""
    scores = found[: len(spec.answers)]
    best = int(scores.argmax())
    score = float(scores[best])
    return Sentiment(spec.labels[best] if score >= spec.threshold else UNSURE, score, best)


def probabilities(outputs: Mapping[str, Tensor], temperature: float = 1.0) -> Probabilities:
    """(classes,): from the outputs of a net, which are logits (classes,), or the score (1,) of the second of two.

    Logits are divided by `temperature` before they become probabilities (Guo et al. 2017); a score through its logit.
    """
    if "score" not in outputs:
        return softmax(outputs["logits"], temperature)
    score = min(max(float(outputs["score"].real(0)), EDGE), 1 - EDGE)
    first, second = (1 - score) ** (1 / temperature), score ** (1 / temperature)
    return np.array([first / (first + second), second / (first + second)], np.float32)


def softmax(logits: Tensor, temperature: float = 1.0) -> Probabilities:
    """(classes,): probabilities. In numpy, since as an operator it would split the int8 graph."""
    real = logits.real()
    real -= real.max()
    real /= temperature
    powers = np.exp(real, out=real)
    powers /= powers.sum()
    return powers
