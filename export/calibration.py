"""The representative data set of an int8 export, and other images that prove the export."""

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
from pocketsight.train.console import log_unread_images
from pocketsight.train.datasets.classification import (
    ClassificationDataset,
    ClassificationSample,
    get_face_box,
    read_classification_dataset,
)
from pocketsight.train.datasets.detection import read_samples_for
from pocketsight.train.datasets.detection_sample import NO_BOXES, DetectionSample
from pocketsight.train.datasets.face_alignment import apply_training_alignment
from pocketsight.train.datasets.holdout import hold_out_classification
from pocketsight.train.datasets.shards import list_shards
from pocketsight.train.datasets.splits import list_split_folders
from pocketsight.train.evaluation.metrics import MIN_SAMPLES
from pocketsight.train.recipe import CLASSIFIER_RECIPE

CALIBRATION_COUNT = 300  # images that set the int8 ranges
MIN_CALIBRATION_COUNT = 2  # fewer are refused
MIN_CONTRAST = 8  # of 255; an image with less is of one color
PARITY_COUNT = 300  # images of the parity check


@dataclass(frozen=True)
class Calibration:
    """The parts of a data set that an export uses."""

    samples: list[Image] = field(default_factory=list)  # model inputs; the last two are all black and all white
    facts: dict[str, Any] = field(default_factory=dict)  # for the manifest
    # DetectionSample or ClassificationSample, none of them in `samples`; empty without labels.
    parity_samples: list[Any] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # errors of images that could not be read
    # All that the training of a classifier held out; empty where these are too few.
    heldout: Sequence[ClassificationSample] = field(default_factory=list)


@dataclass(frozen=True)
class CalibrationSample(DetectionSample):
    """A detection sample that may have no labels."""

    labeled: bool = True


def read_calibration(
    spec: ModelSpec,
    data: Sequence[Path],
    soft_labels: Sequence[Path] = (),
    detector: Path | None = None,
    count: int = CALIBRATION_COUNT,
) -> Calibration:
    """Draw samples from labeled data, as for training, or for a detector from a plain folder of images.

    Held-out images of the training prove the export of a classifier, where they are enough; otherwise, and for a
    detector, images that are not in the samples. `detector` finds the faces, as for training. The same files give the
    same samples. Raises DataError when no image can be read.
    """
    if spec.task == "classifier":
        selected, rest, heldout = _split_classification(spec, data, soft_labels, detector, count)
    else:
        selected, rest = _split_items(_detection_samples(data, spec.labels), count)
        heldout = []
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
        raise DataError(f"{', '.join(map(str, data))} has no image to calibrate with")
    # Black and white, so that a step of a pixel is exactly an int8 step.
    samples += [np.full((*spec.input_size, 3), gray, np.uint8) for gray in (0, 255)]
    facts = {
        "data": [path.name for path in data],
        "images": len(used),
        "sha256": sha256(b"".join(sample.tobytes() for sample in samples)).hexdigest(),
        "class_counts": dict(sorted(Counter(_class_name(item, spec) for item in used).items())),
    }
    labeled = [item for item in rest if isinstance(item, ClassificationSample) or item.labeled]
    return Calibration(samples, facts, labeled, skipped, heldout)


def _split_classification(
    spec: ModelSpec, data: Sequence[Path], soft_labels: Sequence[Path], detector: Path | None, count: int
) -> tuple[list[ClassificationSample], list[ClassificationSample], list[ClassificationSample]]:
    """Calibration samples, parity samples, and all that the training held out, with their face boxes."""
    items, heldout = _classification_samples(spec, data, soft_labels)
    selected, rest = _split_items(items, count)
    heldout = apply_training_alignment(heldout, spec, detector)
    if heldout:
        rest = _shuffled(_reportable(heldout, spec))[:PARITY_COUNT]
    else:
        rest = apply_training_alignment(rest, spec, detector)
    return apply_training_alignment(selected, spec, detector), rest, heldout


def require_varied(calibration: Calibration) -> None:
    """Raises DataError when the samples cannot set int8 ranges: a single one with its copies, or all of one color."""
    samples, source = calibration.samples[:-2], ", ".join(calibration.facts["data"])  # the last are black and white
    if len({sample.tobytes() for sample in samples}) < MIN_CALIBRATION_COUNT:
        raise DataError(f"{source} gives one image to calibrate with, which cannot set int8 ranges; give 20 or more")
    if all(_contrast(sample) < MIN_CONTRAST for sample in samples):
        raise DataError(f"{source} has only images of one color, which cannot set int8 ranges; give photographs")


def _contrast(sample: Image) -> int:
    """The largest range of a color channel, 0..255, without black pixels such as the bars of a letterbox."""
    pixels = sample[sample.any(axis=-1)]
    return int(np.ptp(pixels, axis=0).max()) if len(pixels) else 0


def _split_items(items: Sequence[Any], count: int) -> tuple[list[Any], list[Any]]:
    """Calibration samples and parity samples; of few items each gets half."""
    shuffled = _shuffled(items)
    count = min(count, max(MIN_CALIBRATION_COUNT, len(shuffled) // 2))
    return shuffled[:count], shuffled[count : count + PARITY_COUNT]


def _detection_samples(data: Sequence[Path], labels: tuple[str, ...]) -> list[CalibrationSample]:
    samples: list[CalibrationSample] = []
    for path in data:
        is_dataset = (path / "images").is_dir() or list_split_folders(path) or list_shards(path)
        if path.is_dir() and not is_dataset:
            log_unread_images(path)
            samples += [CalibrationSample(file, NO_BOXES, labeled=False) for file in list_images(path)]
        else:
            samples += [
                CalibrationSample(s.path, s.boxes, s.ignored_boxes, s.group, s.size, kinds=s.kinds)
                for split in read_samples_for(path, labels).splits.values()
                for s in split
            ]
    return samples


def _classification_samples(
    spec: ModelSpec, data: Sequence[Path], soft_labels: Sequence[Path]
) -> tuple[list[ClassificationSample], list[ClassificationSample]]:
    """Samples of the training split, and all that the training held out: empty when these are too few."""
    dataset = read_classification_dataset(
        list(data), list(soft_labels), spec.reported_labels, known_rejects=spec.labels[len(spec.reported_labels) :]
    )
    everything = [sample for split in dataset.splits.values() for sample in split]
    if not dataset.splits.get("train"):  # such as a test split alone
        dataset = ClassificationDataset({"train": everything}, dataset.classes)
    val_fraction = spec.training.get("recipe", {}).get("val_fraction", CLASSIFIER_RECIPE.val_fraction)
    train, val = hold_out_classification(dataset, val_fraction)
    heldout = val if val is not train and len(_reportable(val, spec)) >= MIN_SAMPLES else []
    return _reportable(train if heldout else everything, spec), heldout


def _reportable(samples: Sequence[ClassificationSample], spec: ModelSpec) -> list[ClassificationSample]:
    """The samples of classes that the model may report."""
    return [sample for sample in samples if 0 <= sample.label < len(spec.reported_labels)]


def _shuffled(items: Sequence[Any]) -> list[Any]:
    """In a random order that is always the same; faces alternate between the classes."""
    items = [items[n] for n in np.random.default_rng(0).permutation(len(items))]
    if not items or not isinstance(items[0], ClassificationSample):
        return items
    classes = sorted({item.label for item in items})
    rank: Counter[int] = Counter()
    positions = []
    for item in items:
        positions.append((rank[item.label], classes.index(item.label)))
        rank[item.label] += 1
    return [items[n] for n in sorted(range(len(items)), key=positions.__getitem__)]


def _model_input(item: Any, spec: ModelSpec) -> Image:
    if isinstance(item, ClassificationSample):
        image = read_image(item.path)
        return crop_face(image, get_face_box(item, image), spec.crop_margin, spec.input_size)
    return letterbox(item.read(), spec.input_size)[0]


def _class_name(item: Any, spec: ModelSpec) -> str:
    if isinstance(item, ClassificationSample):
        return spec.labels[item.label]
    if not item.labeled:
        return "unlabeled"
    return "with faces" if len(item.boxes) else "without faces"


def representative_dataset(samples: Sequence[Image]) -> Iterator[list[NDArray[np.float32]]]:
    """One [(1, H, W, 3) float32, 0..255] for each sample: the form that the TFLite converter takes."""
    for sample in samples:
        yield [sample[np.newaxis].astype(np.float32)]
