"""The classification data set: images of faces in class folders, and batches of face crops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.inference.classifier import FACE_CROP_MARGIN
from pocketsight.device.inference.manifest import WHOLE_FRAME, ModelSpec
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import Image, list_images, read_image
from pocketsight.train.console import log_message, log_unread_images
from pocketsight.train.datasets.augmentation import draw_mask
from pocketsight.train.datasets.image_cache import ImageCache
from pocketsight.train.datasets.loader import Batch, Example, fill_batch, read_batch
from pocketsight.train.datasets.photometric import PhotoEffect, build_augmentation
from pocketsight.train.datasets.shards import list_shards, read_class_shards
from pocketsight.train.datasets.soft_labels import read_votes
from pocketsight.train.datasets.splits import list_class_folders
from pocketsight.train.recipe import Recipe

MASKED_CLASS = "_masked"  # the reject class of faces with a mask
SAMPLING_POWER = 0.65  # a folder is sampled in proportion to this power of its size
PRIOR_VOTES = 2  # the folder of an image counts as this many votes
UNKNOWN_LABEL = -1


@dataclass(frozen=True)
class ClassificationSample:
    """One image of a face."""

    path: Path
    label: int  # index of the class of its folder; -1: not one of the classes
    soft_label: tuple[float, ...]  # probability of each class, from votes if there are any
    voted_label: int = UNKNOWN_LABEL  # index of the class with the most votes; -1: a tie, or no votes
    box: Box | None = None  # of the face, in px; None: the image is a crop, made with FACE_CROP_MARGIN


@dataclass(frozen=True)
class ClassificationDataset:
    """Samples by split ("train", "val", "test"), and the class names: reported labels first, then reject classes."""

    splits: dict[str, list[ClassificationSample]]
    classes: tuple[str, ...]


def read_classification_dataset(
    folders: list[Path],
    vote_files: list[Path],
    classes: tuple[str, ...] = (),
    reject_classes: tuple[str, ...] = (),
    default_split: str = "train",
    known_rejects: tuple[str, ...] = (),
) -> ClassificationDataset:
    """Read folders of class folders, each with or without the splits around them: train/, val/ or valid/, test/ ...

    A folder or pattern of shards is read as class folders too: see `read_class_shards`.

    Without splits all images belong to `default_split`. `classes` selects the reported labels; empty: all folders but
    the reject classes. Reject classes are those in `reject_classes` and those whose name starts with "_": they are
    learned but not reported, and come last, with "_" before their names. Images of other folders get label -1.
    `known_rejects` are the reject classes of an existing model: they keep their order, and need no folder.
    `vote_files` are tables as in soft_labels.py. Raises DataError.
    """
    trees = [pair for folder in folders for pair in _class_folders(folder, default_split)]
    found = sorted({path.name for _, path, _ in trees})
    rejects = sorted({_reject_name(name) for name in found if name in reject_classes or name.startswith("_")})
    reported = classes or tuple(name for name in found if _reject_name(name) not in rejects)
    names = (*reported, *dict.fromkeys((*known_rejects, *rejects)))
    source = ", ".join(map(str, folders))
    if missing := [name for name in (*reported, *reject_classes) if name not in found]:
        raise DataError(f"{source} has no folder {', '.join(missing)}; it has: {', '.join(found) or 'none'}")
    if len(reported) < 2:
        raise DataError(f"{source} has {len(reported)} class folder(s) {', '.join(reported)}; it needs at least two")
    votes = {path: counts for file in vote_files for path, counts in read_votes(file, names).items()}
    splits = _read_splits(trees, names, votes)
    samples = [sample for split_samples in splits.values() for sample in split_samples]
    if vote_files and not {sample.path.resolve() for sample in samples} & set(votes):
        raise DataError(f"{', '.join(map(str, vote_files))} has no votes for the images of {source}")
    used = {sample.label for sample in samples}
    if empty := [name for n, name in enumerate(names) if n not in used and name not in known_rejects]:
        raise DataError(f"{source}: the class folder {empty[0]} has no images")
    return ClassificationDataset(splits, names)


def _read_splits(
    trees: Sequence[tuple[str, Path, Sequence[Path]]], names: Sequence[str], votes: Mapping[Path, NDArray[np.float64]]
) -> dict[str, list[ClassificationSample]]:
    """The samples by split. `trees` are (split, class folder, images)."""
    splits: dict[str, list[ClassificationSample]] = {}
    for split, folder, images in trees:
        aliases = folder.name, _reject_name(folder.name)
        label = next((n for n, name in enumerate(names) if name in aliases), UNKNOWN_LABEL)
        splits.setdefault(split, []).extend(
            _make_sample(path, label, votes.get(path.resolve()), len(names)) for path in images
        )
    return splits


def read_unlabeled(folders: Sequence[Path], classes: tuple[str, ...]) -> list[ClassificationSample]:
    """Samples without a class, for a teacher to label: all images in folders and their subfolders. Raises DataError."""
    for folder in folders:
        log_unread_images(folder)
    paths = [path for folder in folders for path in list_images(folder)]
    if folders and not paths:
        raise DataError(f"{', '.join(map(str, folders))} has no images")
    return [ClassificationSample(path, UNKNOWN_LABEL, (0.0,) * len(classes)) for path in paths]


def _reject_name(name: str) -> str:
    """The name of a reject class."""
    return "_" + name.lstrip("_")


def _class_folders(folder: Path, default_split: str) -> list[tuple[str, Path, Sequence[Path]]]:
    """(split, class folder, images). Where there are splits, class folders outside of them are left out, and named."""
    found = list_class_folders(folder) if folder.is_dir() else []
    if not found and (shards := list_shards(folder)):
        return [(split, path, images) for (split, path), images in read_class_shards(shards, default_split).items()]
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; it must contain one folder for each class")
    log_unread_images(folder)
    if not any(split for split, _ in found):
        return [(default_split, path, list_images(path)) for _, path in found]
    if outside := [path.name for split, path in found if not split]:
        log_message(f"left out, outside the splits of {folder}: {', '.join(outside)}; assign them: data split {folder}")
    return [(split, path, list_images(path)) for split, path in found if split]


def _make_sample(
    path: Path, label: int, image_votes: NDArray[np.float64] | None, class_count: int
) -> ClassificationSample:
    """A sample. `image_votes` is an array (class_count + 1,) of `read_votes`; the folder counts as PRIOR_VOTES."""
    votes = np.zeros(class_count)
    voted_label = UNKNOWN_LABEL
    if image_votes is not None:
        votes += image_votes[:class_count]
        if (image_votes == image_votes.max()).sum() == 1 and image_votes.argmax() < class_count:
            voted_label = int(image_votes.argmax())
    if label != UNKNOWN_LABEL:
        votes[label] += PRIOR_VOTES
    return ClassificationSample(path, label, tuple((votes / max(votes.sum(), 1)).tolist()), voted_label)


def get_face_box(sample: ClassificationSample, image: Image) -> Box:
    """The box of the face in px: the detected one, or the one that makes the whole image a crop."""
    return sample.box or whole_image_box(image, FACE_CROP_MARGIN)


def get_input_box(sample: ClassificationSample, image: Image, spec: ModelSpec) -> Box:
    """As `get_face_box`; for a classifier of whole frames the image is one."""
    if sample.box is None and WHOLE_FRAME in spec.classifies:
        return Box(0, 0, image.shape[1], image.shape[0])
    return get_face_box(sample, image)


def whole_image_box(image: Image, margin: float) -> Box:
    """The square box for which `crop_face` with the same margin returns the whole image.

    An image that is not square gets black bars, so that the face keeps its shape.
    """
    height, width = image.shape[:2]
    side = max(height, width) / (1 + 2 * margin)
    return Box((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)


def jitter_box(box: Box, recipe: Recipe, rng: np.random.Generator) -> Box:
    """A square box of the longer side, shifted and scaled at random, to imitate the errors of a detector."""
    side = box.longer_side
    half = side * np.exp(rng.uniform(-recipe.max_scale_change, recipe.max_scale_change)) / 2
    x = (box.left + box.right) / 2 + side * rng.uniform(-recipe.max_shift, recipe.max_shift)
    y = (box.top + box.bottom) / 2 + side * rng.uniform(-recipe.max_shift, recipe.max_shift)
    return Box(x - half, y - half, x + half, y + half)


def sampling_weights(samples: Sequence[ClassificationSample]) -> NDArray[np.float64]:
    """(N,), sum 1: the sampling probability. Large folders get less than their share, for balance."""
    folder_sizes = Counter(sample.path.parent for sample in samples)
    weights = np.array([folder_sizes[sample.path.parent] ** (SAMPLING_POWER - 1) for sample in samples])
    return np.asarray(weights / weights.sum(), np.float64)


@dataclass(frozen=True)
class ClassificationBatches:
    """Augmented batches for the classifier; the same step gives the same batch. Runs in worker processes."""

    samples: list[ClassificationSample]
    spec: ModelSpec
    recipe: Recipe
    rows: range | None = None  # of each batch; None: all. Other processes make the others
    cache: ImageCache | None = None  # of the decoded images, by the index of their sample

    @cached_property
    def cumulative_weights(self) -> Any:
        """(N,): cumulative sampling weights; the last is 1."""
        total = np.cumsum(sampling_weights(self.samples))
        return total / total[-1]

    @cached_property
    def augmentation(self) -> PhotoEffect:
        """The changes of the recipe to a face crop."""
        return build_augmentation(self.recipe, is_face_crop=True)

    @cached_property
    def masked_target(self) -> tuple[float, ...]:
        """The target of a face with a mask; all 0 without a class for it."""
        return tuple(float(label == MASKED_CLASS) for label in self.spec.labels)

    def read(self, index: int) -> Image:
        """The decoded image of a sample. Raises DataError."""
        image = self.cache.get(index) if self.cache else None
        if image is None:
            image = read_image(self.samples[index].path)
            if self.cache:
                self.cache.put(index, image)
        return image

    def augment(
        self, sample: ClassificationSample, image: Image, rng: np.random.Generator, add_mask: bool = False
    ) -> Image:
        """An augmented crop (H, W, 3) of a sample's image, with a mask drawn over mouth and nose if `add_mask`."""
        box = jitter_box(get_face_box(sample, image), self.recipe, rng)
        face = crop_face(image, box, self.spec.crop_margin, self.spec.input_size)
        if add_mask:
            face = draw_mask(face, self.spec.crop_margin, rng)
        if rng.random() < self.recipe.horizontal_flip:
            face = np.asarray(cv2.flip(face, 1), np.uint8)
        return self.augmentation(face, rng)

    def __call__(self, step: int) -> Batch:
        def draw(rng: np.random.Generator) -> Example:
            index = int(np.searchsorted(self.cumulative_weights, rng.random(), side="right"))
            add_mask = any(self.masked_target) and rng.random() < self.recipe.mask_prob
            sample = self.samples[index]
            face = self.augment(sample, self.read(index), rng, add_mask)
            return face, self.masked_target if add_mask else sample.soft_label

        return fill_batch(draw, self.recipe.seed, step, self.rows or range(self.recipe.batch_size))


def iter_readable(
    samples: Iterable[ClassificationSample], skipped: list[str]
) -> Iterator[tuple[ClassificationSample, Image]]:
    """(sample, image) of each readable sample; the errors of the others are appended to `skipped`."""
    for sample in samples:
        try:
            image = read_image(sample.path)
        except DataError as error:
            skipped.append(str(error))
            continue
        yield sample, image


def validation_batch(samples: list[ClassificationSample], spec: ModelSpec) -> Batch:
    """All samples in one batch, cropped as on the board, not augmented. Raises DataError if none is readable."""

    def read(sample: ClassificationSample) -> Example:
        image = read_image(sample.path)
        return crop_face(image, get_face_box(sample, image), spec.crop_margin, spec.input_size), sample.soft_label

    return read_batch(samples, read)
