"""A contact sheet of a data set, as it is and as training sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.annotators.labels import GRAY
from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.contact_sheet import GREEN, ORANGE, draw_boxes, write_contact_sheet
from pocketsight.train.curation.scan import scan_dataset
from pocketsight.train.datasets.classification import (
    ClassificationBatches,
    ClassificationSample,
    read_classification_dataset,
)
from pocketsight.train.datasets.detection import DetectionBatches, DetectionSample, read_detection_dataset
from pocketsight.train.datasets.face_alignment import align_faces, load_face_finder
from pocketsight.train.recipe import RECIPES, Recipe

AUGMENTED_VERSIONS = 3  # augmented ones of each picture
SHEET_COLUMNS = 8


def preview(data: Path, augment: bool, count: int, arch: str | None, seed: int, target: Path) -> str:
    """Draw `count` pictures of a data set, chosen by `seed`, into a PNG; a line that says what is on it.

    With `augment` each stands beside versions made by the recipe of the net `arch`. Raises DataError.
    """
    if target.suffix.lower() != ".png":
        raise DataError(f"{target}: the sheet is a PNG picture; let its name end in .png")
    layout = scan_dataset(data).layout
    if layout == "pictures":
        raise DataError(f"{data} has neither labels nor class folders; label it first: pocketsight data label")
    task = "classifier" if layout == "classes" else "detector"
    if arch and arch not in RECIPES[task]:
        raise DataError(f"{data} is for a {task}; its nets are: {', '.join(RECIPES[task])}")
    name = arch or next(iter(RECIPES[task]))
    draw = _classification_tiles if task == "classifier" else _detection_tiles
    rng = np.random.default_rng(seed)
    tiles, legend, skipped = draw(data, augment, count, RECIPES[task][name], rng)
    if not tiles:
        raise DataError(f"none of the pictures of {data} can be read; see: pocketsight data check {data}")
    if augment:
        legend = [(f"each picture, then {AUGMENTED_VERSIONS} versions of it by the recipe of {name}", GRAY), *legend]
    write_contact_sheet(tiles, SHEET_COLUMNS, target, legend)
    shown = len(tiles) // (1 + AUGMENTED_VERSIONS) if augment else len(tiles)
    return f"{shown} pictures of {data} in {target}" + (f"; {skipped} could not be read" if skipped else "")


PreviewTiles = tuple[
    list[Image], list[tuple[str, tuple[int, int, int]]], int
]  # tiles, legend, pictures that were skipped


def _detection_tiles(data: Path, augment: bool, count: int, recipe: Recipe, rng: np.random.Generator) -> PreviewTiles:
    found = read_detection_dataset(data)
    examples = [example for part in found.splits.values() for example in part]
    spec = ModelSpec("detector", "", recipe.input_size, (found.label,), 0.5)
    batches, tile = DetectionBatches(examples, spec, recipe), (144, 192)
    batches.augmentation.set_random_seed(int(rng.integers(2**31)))

    def versions(example: DetectionSample) -> list[Image]:
        made = [(example.read(), example.boxes, example.ignored_boxes)]
        made += [batches.augment(example, rng) for _ in range(AUGMENTED_VERSIONS * augment)]
        return [letterbox(_draw_boxes(letterbox(image, tile), boxes, ignore), tile)[0] for image, boxes, ignore in made]

    tiles, skipped = _first_readable(examples, count, versions, rng)
    return tiles, [(found.label, GREEN), ("ignored", ORANGE)], skipped


def _draw_boxes(fitted: tuple[Image, float], boxes: Any, ignore: Any) -> Image:
    """The boxes of a picture on its tile, so that their lines stay one pixel wide."""
    image, scale = fitted
    return draw_boxes(image, [(ignore * scale, ORANGE), (boxes * scale, GREEN)])


def _classification_tiles(
    data: Path, augment: bool, count: int, recipe: Recipe, rng: np.random.Generator
) -> PreviewTiles:
    found = read_classification_dataset([data], [])
    portraits = [portrait for part in found.splits.values() for portrait in part]
    spec = ModelSpec("classifier", "", recipe.input_size, found.classes, 0.5, crop_margin=recipe.crop_margin)
    batches, tile = ClassificationBatches(portraits, spec, recipe), (144, 144)
    batches.augmentation.set_random_seed(int(rng.integers(2**31)))

    detector = load_face_finder(None) if recipe.align_faces else None

    def versions(portrait: ClassificationSample) -> list[Image]:
        if detector:
            (portrait,) = align_faces([portrait], detector)
        made = [read_image(portrait.path)] + [
            batches.augment(portrait, rng) for _ in range(AUGMENTED_VERSIONS * augment)
        ]
        tiles = [letterbox(image, tile)[0].copy() for image in made]
        _draw_caption(tiles[0], portrait.path.parent.name)
        return tiles

    tiles, skipped = _first_readable(portraits, count, versions, rng)
    return tiles, [("the class of each picture stands on it", GRAY)], skipped


def _first_readable(items: list[Any], count: int, versions: Any, rng: np.random.Generator) -> tuple[list[Image], int]:
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


def _draw_caption(tile: Image, text: str) -> None:
    cv2.rectangle(tile, (0, 0), (9 * len(text) + 6, 18), (0, 0, 0), -1)
    cv2.putText(tile, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
