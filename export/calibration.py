"""The representative data set: pixels as the board will see them, and other pictures to prove that nothing was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import Image, list_images, read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.datasets.classification import (
    ClassificationDataset,
    ClassificationSample,
    get_face_box,
    read_classification_dataset,
)
from pocketsight.train.datasets.detection import NO_BOXES, DetectionSample, read_detection_dataset
from pocketsight.train.datasets.face_alignment import apply_training_alignment
from pocketsight.train.datasets.holdout import hold_out_classification
from pocketsight.train.evaluation.metrics import MIN_SAMPLES
from pocketsight.train.recipe import CLASSIFIER_RECIPE

CALIBRATION_COUNT = 300  # pictures that set the int8 ranges
PARITY_COUNT = 300  # pictures for parity


@dataclass(frozen=True)
class Calibration:
    """What one data set gives to an export."""

    samples: list[Image] = field(default_factory=list)  # model inputs; the last two are all black and all white
    facts: dict[str, Any] = field(default_factory=dict)  # for the manifest
    parity_samples: list[Any] = field(
        default_factory=list
    )  # Example or Portrait, none a sample; none where without labels
    skipped: list[str] = field(default_factory=list)  # pictures that cannot be read
    heldout: Sequence[ClassificationSample] = field(
        default_factory=list
    )  # all that a classifier's training held out; none where few


def read_calibration(
    spec: ModelSpec,
    data: Sequence[Path],
    soft_labels: Sequence[Path] = (),
    detector: Path | None = None,
    count: int = CALIBRATION_COUNT,
) -> Calibration:
    """Draw samples from labelled data, as for training, or for a detector from a plain folder of pictures.

    What training held out proves the export of a classifier, where it is enough; else, and for a detector, what is no
    sample does. `detector` finds the faces in portraits, as for training. The same files give the same samples. Raises
    DataError when nothing can be read.
    """
    items: list[Any]
    items, heldout = (
        _classification_samples(spec, data, soft_labels)
        if spec.task == "classifier"
        else (_detection_samples(data), [])
    )
    shuffled = _shuffled(items)
    count = min(count, max(1, len(shuffled) // 2))  # of few, half prove what the other half has set
    selected, rest = shuffled[:count], shuffled[count : count + PARITY_COUNT]
    if spec.task == "classifier":
        heldout = apply_training_alignment(heldout, spec, detector)
        rest = (
            _shuffled(_reportable(heldout, spec))[:PARITY_COUNT]
            if heldout
            else apply_training_alignment(rest, spec, detector)
        )
        selected = apply_training_alignment(selected, spec, detector)
    samples: list[Image] = []
    used: list[Any] = []
    skipped: list[str] = []
    for item in selected:
        try:
            samples.append(_model_input(item, spec))
            used.append(item)
        except DataError as error:
            skipped.append(str(error))
    if not samples:
        raise DataError(f"{', '.join(map(str, data))} holds no picture to calibrate with")
    extremes = [
        np.full((*spec.input_size, 3), grey, np.uint8) for grey in (0, 255)
    ]  # so that a pixel is exactly one step
    samples += extremes
    facts = {
        "data": [path.name for path in data],
        "images": len(used),
        "sha256": sha256(b"".join(sample.tobytes() for sample in samples)).hexdigest(),
        "class_counts": dict(sorted(Counter(_balance_key(item, spec) for item in used).items())),
    }
    labeled = [item for item in rest if isinstance(item, ClassificationSample) or item.labeled]
    return Calibration(samples, facts, labeled, skipped, heldout)


@dataclass(frozen=True)
class CalibrationSample(DetectionSample):
    """An example, and whether anybody looked for faces in it."""

    labeled: bool = True


def _detection_samples(data: Sequence[Path]) -> list[CalibrationSample]:
    found: list[CalibrationSample] = []
    for path in data:
        if path.is_dir() and not any((path / part).is_dir() for part in ("images", "train", "val", "test")):
            found += [CalibrationSample(file, NO_BOXES, labeled=False) for file in list_images(path)]
        else:
            found += [
                CalibrationSample(e.path, e.boxes, e.ignored_boxes, e.group, e.size)
                for part in read_detection_dataset(path).splits.values()
                for e in part
            ]
    return found


def _classification_samples(
    spec: ModelSpec, data: Sequence[Path], soft_labels: Sequence[Path]
) -> tuple[list[ClassificationSample], list[ClassificationSample]]:
    """Answers that the training learned from, and all faces that it held out: none when they are too few."""
    found = read_classification_dataset(
        list(data), list(soft_labels), spec.reported_labels, known_rejects=spec.labels[len(spec.reported_labels) :]
    )
    if not found.splits.get("train"):  # such as a part for testing alone
        found = ClassificationDataset({"train": [p for part in found.splits.values() for p in part]}, found.classes)
    train, val = hold_out_classification(
        found, spec.training.get("recipe", {}).get("val_fraction", CLASSIFIER_RECIPE.val_fraction)
    )
    heldout = val if val is not train and len(_reportable(val, spec)) >= MIN_SAMPLES else []
    every = [p for part in found.splits.values() for p in part]
    return _reportable(train if heldout else every, spec), heldout


def _reportable(portraits: Sequence[ClassificationSample], spec: ModelSpec) -> list[ClassificationSample]:
    return [p for p in portraits if 0 <= p.label < len(spec.reported_labels)]


def _shuffled(items: list[Any]) -> list[Any]:
    """In a random order, always the same; portraits in turn from each class."""
    items = [items[n] for n in np.random.default_rng(0).permutation(len(items))]
    if not items or not isinstance(items[0], ClassificationSample):
        return items
    classes = sorted({item.label for item in items})
    rank: Counter[int] = Counter()
    places = []
    for item in items:
        places.append((rank[item.label], classes.index(item.label)))
        rank[item.label] += 1
    return [items[n] for n in sorted(range(len(items)), key=places.__getitem__)]


def _model_input(item: Any, spec: ModelSpec) -> Image:
    if isinstance(item, ClassificationSample):
        image = read_image(item.path)
        return crop_face(image, get_face_box(item, image), spec.crop_margin, spec.input_size)
    return letterbox(item.read(), spec.input_size)[0]


def _balance_key(item: Any, spec: ModelSpec) -> str:
    if isinstance(item, ClassificationSample):
        return spec.labels[item.label]
    if not item.labeled:
        return "not labelled"
    return "with faces" if len(item.boxes) else "without faces"


def representative_dataset(samples: Sequence[Image]) -> Iterator[list[NDArray[np.float32]]]:
    """One [(1, H, W, 3) float32, 0..255] for each sample, the form that the TFLite converter asks for."""
    for sample in samples:
        yield [sample[np.newaxis].astype(np.float32)]
