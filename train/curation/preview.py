"""`pocketsight data preview`: a contact sheet of a data set, as stored and as augmented for training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.annotators.labels import GRAY
from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.system.surrogates import replace_surrogates
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.contact_sheet import GREEN, ORANGE, draw_boxes, write_contact_sheet
from pocketsight.train.curation.scan import scan_dataset
from pocketsight.train.datasets.classification import (
    ClassificationBatches,
    ClassificationSample,
    read_classification_dataset,
)
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.detection_batches import DetectionBatches
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.datasets.face_alignment import align_faces, load_face_finder
from pocketsight.train.recipe import RECIPES, Recipe

AUGMENTED_VERSIONS = 3  # of each image
SHEET_COLUMNS = 8
DETECTION_TILE, CLASSIFICATION_TILE = (144, 192), (144, 144)  # height, width


def preview(data: Path, augment: bool, count: int, arch: str | None, seed: int, target: Path) -> str:
    """Draw `count` images of a data set, chosen by `seed`, into a PNG, and return a line that describes it.

    With `augment` each image is followed by versions augmented by the recipe of the network `arch`. Raises DataError.
    """
    if target.suffix.lower() != ".png":
        raise DataError(f"{target}: the sheet is a PNG file; its name must end in .png")
    layout = scan_dataset(data).layout
    if layout == "images":
        raise DataError(f"{data} has neither labels nor class folders; label it first: pocketsight data label")
    task = "classifier" if layout == "classes" else "detector"
    if arch and arch not in RECIPES[task]:
        raise DataError(f"{data} is for a {task}; its networks are: {', '.join(RECIPES[task])}")
    name = arch or next(iter(RECIPES[task]))
    draw = _classification_tiles if task == "classifier" else _detection_tiles
    rng = np.random.default_rng(seed)
    tiles, legend, skipped = draw(data, augment, count, RECIPES[task][name], rng)
    if not tiles:
        raise DataError(f"no image of {data} can be read; see: pocketsight data check {data}")
    if augment:
        legend = [(f"each image, then {AUGMENTED_VERSIONS} versions of it by the recipe of {name}", GRAY), *legend]
    write_contact_sheet(tiles, SHEET_COLUMNS, target, legend)
    shown = len(tiles) // (1 + AUGMENTED_VERSIONS) if augment else len(tiles)
    return f"{shown} images of {data} in {target}" + (f"; {skipped} could not be read" if skipped else "")


# Tiles, legend, number of skipped images.
PreviewTiles = tuple[list[Image], list[tuple[str, tuple[int, int, int]]], int]


def _detection_tiles(data: Path, augment: bool, count: int, recipe: Recipe, rng: np.random.Generator) -> PreviewTiles:
    dataset = read_detection_dataset(data)
    samples = [sample for split in dataset.splits.values() for sample in split]
    spec = ModelSpec("detector", "", recipe.input_size, dataset.labels, 0.5)
    batches, tile = DetectionBatches(samples, spec, recipe), DETECTION_TILE

    def draw_versions(sample: DetectionSample) -> list[Image]:
        versions = [(sample.read(), sample.boxes, sample.ignored_boxes)]
        versions += [batches.augment(sample, rng) for _ in range(AUGMENTED_VERSIONS * augment)]
        return [
            letterbox(_draw_boxes(letterbox(image, tile), boxes, ignore), tile)[0] for image, boxes, ignore in versions
        ]

    tiles, skipped = _first_readable(samples, count, draw_versions, rng)
    return tiles, [(" or ".join(dataset.labels), GREEN), ("ignored", ORANGE)], skipped


def _draw_boxes(fitted: tuple[Image, float], boxes: Any, ignore: Any) -> Image:
    """Draw the boxes after scaling, so that their lines are one pixel wide. `fitted` is the result of `letterbox`."""
    image, scale = fitted
    return draw_boxes(image, [(ignore * scale, ORANGE), (boxes * scale, GREEN)])


def _classification_tiles(
    data: Path, augment: bool, count: int, recipe: Recipe, rng: np.random.Generator
) -> PreviewTiles:
    dataset = read_classification_dataset([data], [])
    samples = [sample for split in dataset.splits.values() for sample in split]
    spec = ModelSpec("classifier", "", recipe.input_size, dataset.classes, 0.5, crop_margin=recipe.crop_margin)
    batches, tile = ClassificationBatches(samples, spec, recipe), CLASSIFICATION_TILE
    detector = load_face_finder(None) if recipe.align_faces else None

    def draw_versions(sample: ClassificationSample) -> list[Image]:
        if detector:
            (sample,) = align_faces([sample], detector)
        image = read_image(sample.path)
        versions = [image]
        versions += [batches.augment(sample, image, rng) for _ in range(AUGMENTED_VERSIONS * augment)]
        tiles = [letterbox(image, tile)[0].copy() for image in versions]
        _draw_caption(tiles[0], sample.path.parent.name)
        return tiles

    tiles, skipped = _first_readable(samples, count, draw_versions, rng)
    return tiles, [("each image has its class in a corner", GRAY)], skipped


def _first_readable(
    samples: list[Any], count: int, draw_versions: Callable[[Any], list[Image]], rng: np.random.Generator
) -> tuple[list[Image], int]:
    """Tiles of the first `count` readable samples in random order, and how many before them could not be read."""
    tiles: list[Image] = []
    good = skipped = 0
    for n in rng.permutation(len(samples)):
        try:
            tiles += draw_versions(samples[n])
            good += 1
        except DataError:
            skipped += 1
        if good == count:
            break
    return tiles, skipped


def _draw_caption(tile: Image, text: str) -> None:
    text = replace_surrogates(text)
    cv2.rectangle(tile, (0, 0), (9 * len(text) + 6, 18), (0, 0, 0), -1)
    cv2.putText(tile, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
