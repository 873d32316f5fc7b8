"""A contact sheet of a data set, as it is and as training sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.annotate import GREY
from pocketsight.device.errors import DataError
from pocketsight.device.image import Image, fit, read_image
from pocketsight.device.spec import ModelSpec
from pocketsight.train.aligned import align, finder
from pocketsight.train.data.survey import survey
from pocketsight.train.expressions import Portrait, PortraitBatches, read_expressions
from pocketsight.train.faces import Example, FaceBatches, read_faces
from pocketsight.train.recipe import RECIPES, Recipe
from pocketsight.train.report import GREEN, ORANGE, boxed, sheet

VERSIONS = 3  # augmented ones of each picture
COLUMNS = 8


def preview(data: Path, augment: bool, count: int, arch: str | None, seed: int, target: Path) -> str:
    """Draw `count` pictures of a data set, chosen by `seed`, into a PNG; a line that says what is on it.

    With `augment` each stands beside versions made by the recipe of the net `arch`. Raises DataError.
    """
    if target.suffix.lower() != ".png":
        raise DataError(f"{target}: the sheet is a PNG picture; let its name end in .png")
    layout = survey(data).layout
    if layout == "pictures":
        raise DataError(f"{data} has neither labels nor class folders; label it first: pocketsight data label")
    task = "sentiment" if layout == "classes" else "detector"
    if arch and arch not in RECIPES[task]:
        raise DataError(f"{data} is for a {task}; its nets are: {', '.join(RECIPES[task])}")
    name = arch or next(iter(RECIPES[task]))
    draw = _portraits if task == "sentiment" else _faces
    rng = np.random.default_rng(seed)
    tiles, legend, skipped = draw(data, augment, count, RECIPES[task][name], rng)
    if not tiles:
        raise DataError(f"none of the pictures of {data} can be read; see: pocketsight data check {data}")
    if augment:
        legend = [(f"each picture, then {VERSIONS} versions of it by the recipe of {name}", GREY), *legend]
    sheet(tiles, COLUMNS, target, legend)
    shown = len(tiles) // (1 + VERSIONS) if augment else len(tiles)
    return f"{shown} pictures of {data} in {target}" + (f"; {skipped} could not be read" if skipped else "")


Drawn = tuple[list[Image], list[tuple[str, tuple[int, int, int]]], int]  # tiles, legend, pictures that were skipped


def _faces(data: Path, augment: bool, count: int, recipe: Recipe, rng: np.random.Generator) -> Drawn:
    found = read_faces(data)
    examples = [example for part in found.parts.values() for example in part]
    spec = ModelSpec("detector", "", recipe.size, (found.label,), 0.5)
    batches, tile = FaceBatches(examples, spec, recipe), (144, 192)
    batches.photometric.set_random_seed(int(rng.integers(2**31)))

    def versions(example: Example) -> list[Image]:
        made = [(example.read(), example.boxes, example.ignore)]
        made += [batches.sample(example, rng) for _ in range(VERSIONS * augment)]
        return [fit(_marked(fit(image, tile), boxes, ignore), tile)[0] for image, boxes, ignore in made]

    tiles, skipped = _first(examples, count, versions, rng)
    return tiles, [(found.label, GREEN), ("ignored", ORANGE)], skipped


def _marked(fitted: tuple[Image, float], boxes: Any, ignore: Any) -> Image:
    """The boxes of a picture on its tile, so that their lines stay one pixel wide."""
    image, scale = fitted
    return boxed(image, [(ignore * scale, ORANGE), (boxes * scale, GREEN)])


def _portraits(data: Path, augment: bool, count: int, recipe: Recipe, rng: np.random.Generator) -> Drawn:
    found = read_expressions([data], [])
    portraits = [portrait for part in found.parts.values() for portrait in part]
    spec = ModelSpec("sentiment", "", recipe.size, found.classes, 0.5, margin=recipe.margin)
    batches, tile = PortraitBatches(portraits, spec, recipe), (144, 144)
    batches.photometric.set_random_seed(int(rng.integers(2**31)))

    detector = finder(None) if recipe.aligned else None

    def versions(portrait: Portrait) -> list[Image]:
        if detector:
            (portrait,) = align([portrait], detector)
        made = [read_image(portrait.path)] + [batches.sample(portrait, rng) for _ in range(VERSIONS * augment)]
        tiles = [fit(image, tile)[0].copy() for image in made]
        _tag(tiles[0], portrait.path.parent.name)
        return tiles

    tiles, skipped = _first(portraits, count, versions, rng)
    return tiles, [("the class of each picture stands on it", GREY)], skipped


def _first(items: list[Any], count: int, versions: Any, rng: np.random.Generator) -> tuple[list[Image], int]:
    """Tiles of the first `count` readable pictures in random order, and how many before them were not."""
    tiles: list[Image] = []
    good = skipped = 0
    for n in rng.permutation(len(items)):
        try:
            tiles += versions(items[n])
            good += 1
        except DataError:
            skipped += 1
        if good == count:
            break
    return tiles, skipped


def _tag(tile: Image, text: str) -> None:
    cv2.rectangle(tile, (0, 0), (9 * len(text) + 6, 18), (0, 0, 0), -1)
    cv2.putText(tile, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
