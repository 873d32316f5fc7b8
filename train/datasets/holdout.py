"""Validation data for data sets without a val split: held out by a hash of names, so the same on every run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TypeVar

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.errors import DataError
from pocketsight.train.datasets.classification import ClassificationDataset, ClassificationSample
from pocketsight.train.datasets.detection import DetectionDataset, DetectionSample

SampleT = TypeVar("SampleT")


def hold_out_classification(
    dataset: ClassificationDataset, val_fraction: float
) -> tuple[list[ClassificationSample], list[ClassificationSample]]:
    """Training and validation samples: the data's own splits, or `val_fraction` of the sessions or images held out.

    When too few can be held out, both are all samples. Raises DataError without a training sample.
    """
    labeled = {name: [s for s in samples if s.label >= 0] for name, samples in dataset.splits.items()}
    train, val = _hold_out(labeled, val_fraction, _classification_key)
    if not labeled.get("val"):
        train, val = _hold_out_missing_classes(train, val)
    return (train, val) if train and val else (labeled["train"], labeled["train"])


def _hold_out_missing_classes(
    train: list[ClassificationSample], val: list[ClassificationSample]
) -> tuple[list[ClassificationSample], list[ClassificationSample]]:
    """Also hold out, of each class that is in training only, the session or image with the lowest hash.

    A class whose images all share one session stays in training.
    """
    for label in sorted({sample.label for sample in train} - {sample.label for sample in val}):
        keys = {_classification_key(sample) for sample in train if sample.label == label}
        others = {key: {s.label for s in train if _classification_key(s) == key} for key in keys}
        moved = min(keys, key=stable_uniform)
        rest = [sample for sample in train if _classification_key(sample) != moved]
        if len(keys) > 1 and others[moved] <= {sample.label for sample in rest}:
            val = [*val, *(sample for sample in train if _classification_key(sample) == moved)]
            train = rest
    return train, val


def hold_out_detection(
    dataset: DetectionDataset, val_fraction: float
) -> tuple[list[DetectionSample], list[DetectionSample]]:
    """Training and validation samples: the data's own splits, or `val_fraction` of the groups held out.

    When too few can be held out, both are all samples. Raises DataError without a training sample or box.
    """
    train, val = _hold_out(dataset.splits, val_fraction, lambda sample: sample.group or sample.path.name)
    if not any(len(sample.boxes) for sample in dataset.splits["train"]):
        raise DataError("the training images have no box")
    has_own_val = bool(dataset.splits.get("val"))
    if has_own_val or (train and any(len(sample.boxes) for sample in val)):
        return train, val
    return dataset.splits["train"], dataset.splits["train"]


def _classification_key(sample: ClassificationSample) -> str:
    return parse_session_name(sample.path.name) or sample.path.parent.name + sample.path.name


def _hold_out(
    splits: Mapping[str, list[SampleT]], val_fraction: float, key: Callable[[SampleT], str]
) -> tuple[list[SampleT], list[SampleT]]:
    """The train and val splits; without a val split, the training samples whose key hashes below `val_fraction`."""
    train = splits.get("train", [])
    if not train:
        raise DataError("the data has no train split")
    if val := splits.get("val"):
        return train, val
    is_held_out = [stable_uniform(key(sample)) < val_fraction for sample in train]
    pairs = list(zip(train, is_held_out, strict=True))
    return [sample for sample, out in pairs if not out], [sample for sample, out in pairs if out]


def stable_uniform(name: str) -> float:
    """A number in [0, 1) that depends on `name` only, uniform over many names."""
    return int.from_bytes(sha256(os.fsencode(name)).digest()[:4], "big") / 2**32
