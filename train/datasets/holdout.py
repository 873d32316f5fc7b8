"""TODO docstring."""

from __future__ import annotations

import os
from hashlib import sha256

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.errors import DataError
from pocketsight.train.datasets.classification import ClassificationDataset, ClassificationSample
from pocketsight.train.datasets.detection import DetectionDataset, DetectionSample


def hold_out_classification(
    dataset: ClassificationDataset, val_fraction: float
) -> tuple[list[ClassificationSample], list[ClassificationSample]]:
    """Training and validation portraits: the data's own parts, or `share` of them, chosen by their names.

    Too few to hold any out are validated on themselves.
    """
    train = [p for p in dataset.splits.get("train", []) if p.label >= 0]
    if not train:
        raise DataError("the data has no part to train on")
    if val := [p for p in dataset.splits.get("val", []) if p.label >= 0]:
        return train, val
    out = [
        stable_uniform(parse_session_name(p.path.name) or p.path.parent.name + p.path.name) < val_fraction
        for p in train
    ]
    kept = [p for p, o in zip(train, out, strict=True) if not o]
    held = [p for p, o in zip(train, out, strict=True) if o]
    return (kept, held) if kept and held else (train, train)


def hold_out_detection(
    dataset: DetectionDataset, val_fraction: float
) -> tuple[list[DetectionSample], list[DetectionSample]]:
    """Training and validation examples: the data's own parts, or `share` of the groups, chosen by their names.

    Too few to hold any out are validated on themselves.
    """
    train = dataset.splits.get("train", [])
    if not train:
        raise DataError("the data has no part to train on")
    if not any(len(e.boxes) for e in train):
        raise DataError("the pictures to train on have no box at all")
    if val := dataset.splits.get("val"):
        return train, val
    chosen = [stable_uniform(e.group or e.path.name) < val_fraction for e in train]
    kept = [e for e, out in zip(train, chosen, strict=True) if not out]
    held = [e for e, out in zip(train, chosen, strict=True) if out]
    return (kept, held) if kept and any(len(e.boxes) for e in held) else (train, train)


def stable_uniform(name: str) -> float:
    """0..1, always the same for a name."""
    return int.from_bytes(sha256(os.fsencode(name)).digest()[:4], "big") / 2**32
