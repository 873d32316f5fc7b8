"""The expression data set: pictures of faces, one folder a class, and batches of crops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.inference.classifier import FACE_CROP_MARGIN
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import Image, list_images, read_image
from pocketsight.train.datasets.augmentation import build_augmentation, draw_mask
from pocketsight.train.datasets.loader import Batch
from pocketsight.train.datasets.soft_labels import read_votes
from pocketsight.train.datasets.splits import SPLITS
from pocketsight.train.recipe import Recipe

MASKED_CLASS = "_masked"  # the class of faces that wear a mask
SAMPLING_POWER = 0.65  # a folder is drawn by this power of its size
PRIOR_VOTES = 2  # votes that a picture's folder counts for


@dataclass(frozen=True)
class ClassificationSample:
    """One picture of a face, cut as the board will cut it: the box grown by the margin fills it."""

    path: Path
    label: int  # index of its folder's class; -1: a folder that is none of the classes
    soft_label: tuple[float, ...]  # of each class; from votes where there are some
    voted_label: int = -1  # index of the class that clearly got most votes; -1: none
    box: Box | None = None  # of the face, px of the picture; None: the picture is the face, grown by MARGIN


@dataclass(frozen=True)
class ClassificationDataset:
    """A data set: portraits by part ("train", "val", "test"), and the classes: answers, then those that are none."""

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
    """Read folders of class folders, perhaps within train/, val/ and test/; without those all is `part`.

    `classes` chooses some of the class folders as answers. Those named in `others`, or whose name starts with "_",
    are classes too, but no answers: they come last, with a "_" before their names. What is left gets label -1. A votes
    file is a CSV table: a column `file` (relative to it), and columns of counts for the classes. `silent` are classes
    of a model that are no answers: they keep their order, and need no folder. Raises DataError.
    """
    trees = [(name, tree) for folder in folders for name, tree in _split_folders(folder, default_split)]
    found = sorted({path.name for _, tree in trees for path in list_subfolders(tree)})
    rest = sorted({_reject_name(name) for name in found if name in reject_classes or name.startswith("_")})
    answers = classes or tuple(name for name in found if _reject_name(name) not in rest)
    names = (*answers, *dict.fromkeys((*known_rejects, *rest)))
    where = ", ".join(map(str, folders))
    if missing := [name for name in (*answers, *reject_classes) if name not in found]:
        raise DataError(f"{where} has no folder {', '.join(missing)}; there are: {', '.join(found) or 'none'}")
    if len(answers) < 2:
        raise DataError(
            f"{where} has {len(answers)} class folder(s) {', '.join(answers)}; a classifier needs at least two"
        )
    ballots = {path: counts for file in vote_files for path, counts in read_votes(file, names).items()}
    parts: dict[str, list[ClassificationSample]] = {}
    for name, tree in trees:
        for folder in list_subfolders(tree):
            label = next((n for n, c in enumerate(names) if c in (folder.name, _reject_name(folder.name))), -1)
            parts.setdefault(name, []).extend(
                _make_sample(path, label, ballots.get(path.resolve()), len(names)) for path in list_images(folder)
            )
    known = {p.path.resolve() for portraits in parts.values() for p in portraits}
    if vote_files and not known & set(ballots):
        raise DataError(f"{', '.join(map(str, vote_files))} votes on none of the pictures of {where}")
    for label, name in enumerate(names):
        if name not in known_rejects and not any(p.label == label for portraits in parts.values() for p in portraits):
            raise DataError(f"{where}: the class folder {name} holds no pictures")
    return ClassificationDataset(parts, names)


def read_unlabeled(folders: Sequence[Path], classes: tuple[str, ...]) -> list[ClassificationSample]:
    """Faces whose class nobody knows: all pictures in folders, however deep. A teacher will say the odds."""
    found = [path for folder in folders for path in list_images(folder)]
    if folders and not found:
        raise DataError(f"{', '.join(map(str, folders))} holds no pictures")
    return [ClassificationSample(path, -1, (0.0,) * len(classes)) for path in found]


def _reject_name(name: str) -> str:
    """The name of a class that is no answer."""
    return "_" + name.lstrip("_")


def _split_folders(folder: Path, default_split: str) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; it should hold one folder a class")
    split = [(name, folder / name) for name in SPLITS if (folder / name).is_dir()]
    return split or [(default_split, folder)]


def list_subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, by name, hidden ones left out."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _make_sample(
    path: Path, label: int, image_votes: NDArray[np.float64] | None, class_count: int
) -> ClassificationSample:
    """`ballot` is a row of `read_votes` for `count` classes.

    The folder counts as PRIOR votes, so that a picture nobody voted on has the odds of its folder.
    """
    votes = np.zeros(class_count)
    voted = -1
    if image_votes is not None:
        votes += image_votes[:class_count]
        if (image_votes == image_votes.max()).sum() == 1 and image_votes.argmax() < class_count:
            voted = int(image_votes.argmax())
    if label >= 0:
        votes[label] += PRIOR_VOTES
    return ClassificationSample(path, label, tuple((votes / max(votes.sum(), 1)).tolist()), voted)


def get_face_box(sample: ClassificationSample, image: Image) -> Box:
    """The box of the face in a portrait: the one that was found, or what the whole picture stands for."""
    return sample.box or whole_image_box(image, FACE_CROP_MARGIN)


def whole_image_box(image: Image, margin: float) -> Box:
    """The box of which `crop` with the same margin gives the whole picture back.

    One that is not square gets black bars, so that its face keeps shape and size.
    """
    height, width = image.shape[:2]
    side = max(height, width) / (1 + 2 * margin)
    return Box((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)


def jitter_box(box: Box, recipe: Recipe, rng: np.random.Generator) -> Box:
    """The box as a detector might have found it: shifted and scaled. A square of its longer side."""
    side = box.longer_side
    half = side * np.exp(rng.uniform(-recipe.max_scale_change, recipe.max_scale_change)) / 2
    x = (box.left + box.right) / 2 + side * rng.uniform(-recipe.max_shift, recipe.max_shift)
    y = (box.top + box.bottom) / 2 + side * rng.uniform(-recipe.max_shift, recipe.max_shift)
    return Box(x - half, y - half, x + half, y + half)


def sampling_weights(samples: Sequence[ClassificationSample]) -> NDArray[np.float64]:
    """(N,): how often training draws each: less from large folders, so that small sources and classes do not drown."""
    size = Counter(p.path.parent for p in samples)
    weight = np.array([size[p.path.parent] ** (SAMPLING_POWER - 1) for p in samples])
    return np.asarray(weight / weight.sum(), np.float64)


@dataclass(frozen=True)
class ClassificationBatches:
    """Augmented batches for the classifier, the same for the same step. Runs in worker processes."""

    samples: list[ClassificationSample]
    spec: ModelSpec
    recipe: Recipe

    @cached_property
    def cumulative_weights(self) -> Any:
        """The shares, cumulative; the last is 1."""
        total = np.cumsum(sampling_weights(self.samples))
        return total / total[-1]

    @cached_property
    def augmentation(self) -> Any:
        return build_augmentation(self.recipe, is_face_crop=True)

    @cached_property
    def masked_target(self) -> tuple[float, ...]:
        """The odds of a face with a mask; none where no class is named so."""
        return tuple(float(label == MASKED_CLASS) for label in self.spec.labels)

    def augment(self, sample: ClassificationSample, rng: np.random.Generator, add_mask: bool = False) -> Image:
        """One augmented crop, perhaps with a mask drawn over mouth and nose."""
        image = read_image(sample.path)
        box = jitter_box(get_face_box(sample, image), self.recipe, rng)
        face = crop_face(image, box, self.spec.crop_margin, self.spec.input_size)
        if add_mask:
            face = draw_mask(face, self.spec.crop_margin, rng)
        if rng.random() < self.recipe.horizontal_flip:
            face = np.ascontiguousarray(face[:, ::-1])
        augmented: Image = self.augmentation(image=face)["image"]
        return augmented

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.recipe.seed, step])
        self.augmentation.set_random_seed(int(rng.integers(2**31)))
        images: list[Image] = []
        targets, skipped = [], []
        while len(images) < self.recipe.batch_size:
            portrait = self.samples[int(np.searchsorted(self.cumulative_weights, rng.random(), side="right"))]
            mask = any(self.masked_target) and rng.random() < self.recipe.mask_prob
            try:
                images.append(self.augment(portrait, rng, mask))
            except DataError as error:
                skipped.append(str(error))
                if len(skipped) > max(100, 10 * self.recipe.batch_size):
                    raise DataError(f"hardly any picture can be read; the last: {error}") from error
                continue
            targets.append(self.masked_target if mask else portrait.soft_label)
        return Batch(np.stack(images), np.array(targets, np.float32), skipped)


def iter_readable(
    samples: Iterable[ClassificationSample], skipped: list[str]
) -> Iterator[tuple[ClassificationSample, Image]]:
    """Each portrait with its picture; what is wrong with those that cannot be read goes to `skipped`."""
    for portrait in samples:
        try:
            image = read_image(portrait.path)
        except DataError as error:
            skipped.append(str(error))
            continue
        yield portrait, image


def validation_batch(samples: list[ClassificationSample], spec: ModelSpec) -> Batch:
    """The portraits as the board would see them, in one batch; for validation."""
    images, targets = [], []
    skipped: list[str] = []
    for portrait, image in iter_readable(samples, skipped):
        images.append(crop_face(image, get_face_box(portrait, image), spec.crop_margin, spec.input_size))
        targets.append(portrait.soft_label)
    if not images:
        raise DataError(f"none of {len(samples)} pictures can be read; {skipped[0] if skipped else 'there are none'}")
    return Batch(np.stack(images), np.array(targets, np.float32), skipped)
