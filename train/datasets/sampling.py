"""How often a training draws each image: rare kinds of faces and small sources more often than by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.datasets.sample_table import SampleTable


def sampling_weights(samples: Sequence[DetectionSample], source_balance: float = 0.0) -> NDArray[np.float64]:
    """(N,): the probability of each image; they sum to 1.

    The weight of an image is the square root of its number of objects. An object of a rarer kind counts more, by the
    square root too, and if the mask states are known, so does a face of a rarer state. The share of a source is then
    its sum of weights to the power of 1 - `source_balance`: 0 changes nothing, with 1 all sources are drawn equally
    often.
    """
    table = SampleTable.from_samples(samples)
    states, kinds, owners = table.object_facts()
    shares = _rarity(states + 1) * _rarity(kinds)
    weights = np.sqrt(np.maximum(1, np.bincount(owners, shares, len(table))))
    source = table.source_codes
    weights *= (np.maximum(np.bincount(source, weights), 1) ** -source_balance)[source]  # 1: a source without images
    return np.asarray(weights / weights.sum(), np.float64)


def _rarity(values: NDArray[Any]) -> NDArray[np.float64]:
    """For each value (N,), a number from 0, how much rarer it is than the most frequent one: 1 or more."""
    counts = np.bincount(values)
    return np.asarray(np.sqrt(counts.max(initial=1) / np.maximum(counts, 1))[values], np.float64)
