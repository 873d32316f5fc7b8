"""Validation data for data sets without a val split: held out by a hash of names, so the same on every run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from itertools import compress

import numpy as np

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.errors import DataError
from pocketsight.train.datasets.classification import ClassificationDataset, ClassificationSample
from pocketsight.train.datasets.detection import DetectionDataset
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.datasets.sample_table import SampleTable

NO_TRAIN_SPLIT = "the data has no train split"


def hold_out_classification(
    dataset: ClassificationDataset, val_fraction: float
) -> tuple[list[ClassificationSample], list[ClassificationSample]]:
    """Training and validation samples: the data's own splits, or `val_fraction` of the sessions or images held out.

    When too few can be held out, both are all samples. Raises DataError without a training sample.
    """
    labeled = {name: [s for s in samples if s.label >= 0] for name, samples in dataset.splits.items()}
    samples = labeled.get("train", [])
    if not samples:
        raise DataError(NO_TRAIN_SPLIT)
    if val := labeled.get("val"):
        return samples, val
    keys = [_classification_key(sample) for sample in samples]
    chosen = _with_every_class({key for key in keys if stable_uniform(key) < val_fraction}, samples, keys)
    held_out = [key in chosen for key in keys]
    if all(held_out) or not any(held_out):
        return samples, samples
    return list(compress(samples, [not out for out in held_out])), list(compress(samples, held_out))


def _with_every_class(chosen: set[str], samples: Sequence[ClassificationSample], keys: Sequence[str]) -> set[str]:
    """The keys to hold out, and of each class that has none of them the key with the lowest hash.

    A class stays in training whole if it has one key, or if that key holds all that is left of another class.
    """
    keys_of: dict[int, set[str]] = {}
    for sample, key in zip(samples, keys, strict=True):
        keys_of.setdefault(sample.label, set()).add(key)
    chosen = set(chosen)
    for _, own in sorted(keys_of.items()):
        if not own & chosen and len(own) > 1:
            candidate = chosen | {min(own, key=stable_uniform)}
            if all(others - candidate or not others - chosen for others in keys_of.values()):
                chosen = candidate
    return chosen


def hold_out_detection(
    dataset: DetectionDataset, val_fraction: float
) -> tuple[Sequence[DetectionSample], Sequence[DetectionSample]]:
    """Training and validation samples: the data's own splits, or `val_fraction` of the groups held out.

    When too few can be held out, both are all samples. Raises DataError without a training sample or box.
    """
    samples = dataset.splits.get("train", [])
    if not samples:
        raise DataError(NO_TRAIN_SPLIT)
    table = SampleTable.from_samples(samples)
    has_boxes = table.object_counts > 0
    if not has_boxes.any():
        raise DataError("the training images have no box")
    if val := dataset.splits.get("val"):
        return samples, val
    held_out = np.array([stable_uniform(key) < val_fraction for key in table.group_keys()], bool)
    if held_out.all() or not (held_out & has_boxes).any():
        return samples, samples
    return table.select(~held_out), table.select(held_out)


def _classification_key(sample: ClassificationSample) -> str:
    return parse_session_name(sample.path.name) or sample.path.parent.name + sample.path.name


def stable_uniform(name: str) -> float:
    """A number in [0, 1) that depends on `name` only, uniform over many names."""
    return int.from_bytes(sha256(os.fsencode(name)).digest()[:4], "big") / 2**32
