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

from pocketsight.device.boxes import Box
from pocketsight.device.capture import session_of
from pocketsight.device.errors import DataError
from pocketsight.device.image import Image, crop, pictures, read_image
from pocketsight.device.sentiment import MARGIN
from pocketsight.device.spec import ModelSpec
from pocketsight.train.augment import draw_mask, photometric
from pocketsight.train.faces import draw
from pocketsight.train.feed import Batch
from pocketsight.train.recipe import Recipe
from pocketsight.train.votes import read_votes

PARTS = "train", "val", "test"
MASKED = "_masked"  # the class of faces that wear a mask
EVEN = 0.65  # a folder is drawn by this power of its size
PRIOR = 2  # votes that a picture's folder counts for


@dataclass(frozen=True)
class Portrait:
    """One picture of a face, cut as the board will cut it: the box grown by the margin fills it."""

    path: Path
    label: int  # index of its folder's class; -1: a folder that is none of the classes
    odds: tuple[float, ...]  # of each class; from votes where there are some
    voted: int = -1  # index of the class that clearly got most votes; -1: none
    box: Box | None = None  # of the face, px of the picture; None: the picture is the face, grown by MARGIN


@dataclass(frozen=True)
class Expressions:
    """A data set: portraits by part ("train", "val", "test"), and the classes: answers, then those that are none."""

    parts: dict[str, list[Portrait]]
    classes: tuple[str, ...]


def read_expressions(
    folders: list[Path],
    votes: list[Path],
    classes: tuple[str, ...] = (),
    others: tuple[str, ...] = (),
    part: str = "train",
    silent: tuple[str, ...] = (),
) -> Expressions:
    """Read folders of class folders, perhaps within train/, val/ and test/; without those all is `part`.

    `classes` chooses some of the class folders as answers. Those named in `others`, or whose name starts with "_",
    are classes too, but no answers: they come last, with a "_" before their names. What is left gets label -1. A votes
    file is a CSV table: a column `file` (relative to it), and columns of counts for the classes. `silent` are classes
    of a model that are no answers: they keep their order, and need no folder. Raises DataError.
    """
    trees = [(name, tree) for folder in folders for name, tree in _trees(folder, part)]
    found = sorted({path.name for _, tree in trees for path in subfolders(tree)})
    rest = sorted({_silent(name) for name in found if name in others or name.startswith("_")})
    answers = classes or tuple(name for name in found if _silent(name) not in rest)
    names = (*answers, *dict.fromkeys((*silent, *rest)))
    where = ", ".join(map(str, folders))
    if missing := [name for name in (*answers, *others) if name not in found]:
        raise DataError(f"{where} has no folder {', '.join(missing)}; there are: {', '.join(found) or 'none'}")
    if len(answers) < 2:
        raise DataError(
            f"{where} has {len(answers)} class folder(s) {', '.join(answers)}; a classifier needs at least two"
        )
    ballots = {path: counts for file in votes for path, counts in read_votes(file, names).items()}
    parts: dict[str, list[Portrait]] = {}
    for name, tree in trees:
        for folder in subfolders(tree):
            label = next((n for n, c in enumerate(names) if c in (folder.name, _silent(folder.name))), -1)
            parts.setdefault(name, []).extend(
                _portrait(path, label, ballots.get(path.resolve()), len(names)) for path in pictures(folder)
            )
    known = {p.path.resolve() for portraits in parts.values() for p in portraits}
    if votes and not known & set(ballots):
        raise DataError(f"{', '.join(map(str, votes))} votes on none of the pictures of {where}")
    for label, name in enumerate(names):
        if name not in silent and not any(p.label == label for portraits in parts.values() for p in portraits):
            raise DataError(f"{where}: the class folder {name} holds no pictures")
    return Expressions(parts, names)


def unlabelled(folders: Sequence[Path], classes: tuple[str, ...]) -> list[Portrait]:
    """Faces whose class nobody knows: all pictures in folders, however deep. A teacher will say the odds."""
    found = [path for folder in folders for path in pictures(folder)]
    if folders and not found:
        raise DataError(f"{', '.join(map(str, folders))} holds no pictures")
    return [Portrait(path, -1, (0.0,) * len(classes)) for path in found]


def _silent(name: str) -> str:
    """The name of a class that is no answer."""
    return "_" + name.lstrip("_")


def hold_out(data: Expressions, share: float) -> tuple[list[Portrait], list[Portrait]]:
    """Training and validation portraits: the data's own parts, or `share` of them, chosen by their names.

    Too few to hold any out are validated on themselves.
    """
    train = [p for p in data.parts.get("train", []) if p.label >= 0]
    if not train:
        raise DataError("the data has no part to train on")
    if val := [p for p in data.parts.get("val", []) if p.label >= 0]:
        return train, val
    out = [draw(session_of(p.path.name) or p.path.parent.name + p.path.name) < share for p in train]
    kept = [p for p, o in zip(train, out, strict=True) if not o]
    held = [p for p, o in zip(train, out, strict=True) if o]
    return (kept, held) if kept and held else (train, train)


def _trees(folder: Path, part: str) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; it should hold one folder a class")
    split = [(name, folder / name) for name in PARTS if (folder / name).is_dir()]
    return split or [(part, folder)]


def subfolders(tree: Path) -> list[Path]:
    """The folders in a folder, by name, hidden ones left out."""
    return sorted(p for p in tree.iterdir() if p.is_dir() and not p.name.startswith("."))


def _portrait(path: Path, label: int, ballot: NDArray[np.float64] | None, count: int) -> Portrait:
    """`ballot` is a row of `read_votes` for `count` classes.

    The folder counts as PRIOR votes, so that a picture nobody voted on has the odds of its folder.
    """
    votes = np.zeros(count)
    voted = -1
    if ballot is not None:
        votes += ballot[:count]
        if (ballot == ballot.max()).sum() == 1 and ballot.argmax() < count:
            voted = int(ballot.argmax())
    if label >= 0:
        votes[label] += PRIOR
    return Portrait(path, label, tuple((votes / max(votes.sum(), 1)).tolist()), voted)


def face_in(portrait: Portrait, image: Image) -> Box:
    """The box of the face in a portrait: the one that was found, or what the whole picture stands for."""
    return portrait.box or face_box(image, MARGIN)


def face_box(image: Image, margin: float) -> Box:
    """The box of which `crop` with the same margin gives the whole picture back.

    One that is not square gets black bars, so that its face keeps shape and size.
    """
    height, width = image.shape[:2]
    side = max(height, width) / (1 + 2 * margin)
    return Box((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)


def jittered(box: Box, recipe: Recipe, rng: np.random.Generator) -> Box:
    """The box as a detector might have found it: shifted and scaled. A square of its longer side."""
    side = max(box.right - box.left, box.bottom - box.top)
    half = side * np.exp(rng.uniform(-recipe.scale, recipe.scale)) / 2
    x = (box.left + box.right) / 2 + side * rng.uniform(-recipe.shift, recipe.shift)
    y = (box.top + box.bottom) / 2 + side * rng.uniform(-recipe.shift, recipe.shift)
    return Box(x - half, y - half, x + half, y + half)


def shares(portraits: Sequence[Portrait]) -> NDArray[np.float64]:
    """(N,): how often training draws each: less from large folders, so that small sources and classes do not drown."""
    size = Counter(p.path.parent for p in portraits)
    weight = np.array([size[p.path.parent] ** (EVEN - 1) for p in portraits])
    return np.asarray(weight / weight.sum(), np.float64)


@dataclass(frozen=True)
class PortraitBatches:
    """Augmented batches for the classifier, the same for the same step. Runs in worker processes."""

    examples: list[Portrait]
    spec: ModelSpec
    recipe: Recipe

    @cached_property
    def odds(self) -> Any:
        """The shares, cumulative; the last is 1."""
        total = np.cumsum(shares(self.examples))
        return total / total[-1]

    @cached_property
    def photometric(self) -> Any:
        return photometric(self.recipe, face=True)

    @cached_property
    def masked(self) -> tuple[float, ...]:
        """The odds of a face with a mask; none where no class is named so."""
        return tuple(float(label == MASKED) for label in self.spec.labels)

    def sample(self, portrait: Portrait, rng: np.random.Generator, mask: bool = False) -> Image:
        """One augmented crop, perhaps with a mask drawn over mouth and nose."""
        image = read_image(portrait.path)
        box = jittered(face_in(portrait, image), self.recipe, rng)
        face = crop(image, box, self.spec.margin, self.spec.size)
        if mask:
            face = draw_mask(face, self.spec.margin, rng)
        if rng.random() < self.recipe.flip:
            face = np.ascontiguousarray(face[:, ::-1])
        augmented: Image = self.photometric(image=face)["image"]
        return augmented

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.recipe.seed, step])
        self.photometric.set_random_seed(int(rng.integers(2**31)))
        images: list[Image] = []
        targets, skipped = [], []
        while len(images) < self.recipe.batch:
            portrait = self.examples[int(np.searchsorted(self.odds, rng.random(), side="right"))]
            mask = any(self.masked) and rng.random() < self.recipe.mask
            try:
                images.append(self.sample(portrait, rng, mask))
            except DataError as error:
                skipped.append(str(error))
                if len(skipped) > max(100, 10 * self.recipe.batch):
                    raise DataError(f"hardly any picture can be read; the last: {error}") from error
                continue
            targets.append(self.masked if mask else portrait.odds)
        return Batch(np.stack(images), np.array(targets, np.float32), skipped)


def readable(portraits: Iterable[Portrait], skipped: list[str]) -> Iterator[tuple[Portrait, Image]]:
    """Each portrait with its picture; what is wrong with those that cannot be read goes to `skipped`."""
    for portrait in portraits:
        try:
            image = read_image(portrait.path)
        except DataError as error:
            skipped.append(str(error))
            continue
        yield portrait, image


def plain(portraits: list[Portrait], spec: ModelSpec) -> Batch:
    """The portraits as the board would see them, in one batch; for validation."""
    images, targets = [], []
    skipped: list[str] = []
    for portrait, image in readable(portraits, skipped):
        images.append(crop(image, face_in(portrait, image), spec.margin, spec.size))
        targets.append(portrait.odds)
    if not images:
        raise DataError(f"none of {len(portraits)} pictures can be read; {skipped[0] if skipped else 'there are none'}")
    return Batch(np.stack(images), np.array(targets, np.float32), skipped)
