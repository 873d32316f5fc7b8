"""How often a training draws each image: rare kinds of faces and small sources more often than by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class LabeledImage(Protocol):
    """The part of a detection sample that counts here."""

    @property
    def boxes(self) -> NDArray[np.float32]: ...
    @property
    def mask_states(self) -> tuple[int, ...]: ...
    @property
    def source(self) -> str: ...


def sampling_weights(samples: Sequence[LabeledImage], source_balance: float = 0.0) -> NDArray[np.float64]:
    """(N,): the probability of each image; they sum to 1.

    The weight of an image is the square root of its number of faces. If the mask states are known, a face of a rarer
    state counts more, by the square root too. The share of a source is then its sum of weights to the power of
    1 - `source_balance`: 0 changes nothing, with 1 all sources are drawn equally often.
    """
    states = [sample.mask_states or (-1,) * len(sample.boxes) for sample in samples]
    counts = Counter(state for own_states in states for state in own_states)
    largest = max(counts.values(), default=1)
    weights = np.sqrt([max(1, sum((largest / counts[state]) ** 0.5 for state in own)) for own in states])
    _, source = np.unique([sample.source for sample in samples], return_inverse=True)
    weights *= (np.bincount(source, weights) ** -source_balance)[source]
    return np.asarray(weights / weights.sum(), np.float64)
