"""Where the face lies in each portrait, found by the board's own detector: training cuts there, as the board will."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pocketsight.device.boxes import Box
from pocketsight.device.commands.options import MODELS
from pocketsight.device.detector import detect
from pocketsight.device.errors import DataError
from pocketsight.device.image import Image, fit, read_image
from pocketsight.device.interpreter import Loaded, load
from pocketsight.device.spec import ModelSpec
from pocketsight.train.expressions import Portrait
from pocketsight.train.recipe import Recipe
from pocketsight.train.say import bar, say

SHARE = 0.5  # of the detector's input that the picture fills: a face that fills the picture is too large for it else
AROUND = 128  # grey level of the rest; in black it finds a few less
LEAST = 0.3  # score: in a portrait a face is likely
SMALLEST = 0.25  # longer side of a box, in the picture's longer sides: smaller ones are somebody else, or nobody


def finder(path: Path | None) -> Loaded:
    """The detector of a file, or without one ours. Raises ModelError."""
    return load(path or MODELS / "detector.tflite", "detector")


def align(
    portraits: Sequence[Portrait], detector: Loaded, track: Callable[[Sequence[Portrait]], Iterable[Portrait]] = iter
) -> list[Portrait]:
    """The portraits with the box of their face, where one is found; one that cannot be read stays as it is."""
    return [_aligned(portrait, detector) for portrait in track(portraits)]


def align_parts(
    parts: Sequence[list[Portrait]], recipe: Recipe, detector: Path | None
) -> tuple[list[list[Portrait]], Recipe]:
    """The parts of a data set with the boxes of their faces, and the recipe, which remembers whether that was done.

    Where fewer than half of the pictures show what the detector finds, all of them are taken as they are.
    """
    if not recipe.aligned:
        return list(parts), recipe
    shown = {id(part): _shown(part, detector) for part in parts}  # both may be one: too few to hold any out
    done = [shown[id(part)] for part in parts]
    count, found = sum(map(len, done)), sum(portrait.box is not None for part in done for portrait in part)
    if 2 * found < count:
        say(f"faces were found in {found} of {count} pictures only: each is taken as it is; --detector names another")
        return list(parts), replace(recipe, aligned=False)
    if found < count:
        say(f"faces were found in {found} of {count} pictures; the others are taken as they are")
    return done, recipe


def as_trained(portraits: list[Portrait], spec: ModelSpec, detector: Path | None = None) -> list[Portrait]:
    """The portraits as a net was trained on them: with the boxes of their faces, or as they are. Raises ModelError."""
    aligned = spec.training.get("recipe", {}).get("aligned")
    return _shown(portraits, detector) if aligned else portraits


def _shown(portraits: Sequence[Portrait], detector: Path | None) -> list[Portrait]:
    return align(portraits, finder(detector), partial(bar, what="finding faces"))


def _aligned(portrait: Portrait, detector: Loaded) -> Portrait:
    try:
        return replace(portrait, box=locate(read_image(portrait.path), detector))
    except DataError:  # training will say so
        return portrait


def locate(image: Image, detector: Loaded) -> Box | None:
    """The likeliest face in an RGB picture (H, W, 3) that may be filled by it, in pixels; None: none is found.

    It may reach beyond the picture, as the face does.
    """
    height, width = detector.spec.size
    inner = round(height * SHARE), round(width * SHARE)
    scale = min(inner[0] / image.shape[0], inner[1] / image.shape[1])
    h, w = (max(1, round(length * scale)) for length in image.shape[:2])
    top, left = (height - h) // 2, (width - w) // 2
    frame = np.full((height, width, 3), AROUND, np.uint8)
    frame[top : top + h, left : left + w] = fit(image, (h, w))[0]
    for face in detect(frame, detector, threshold=LEAST):
        box = Box(*((side - at) / scale for side, at in zip(face.box, (left, top, left, top), strict=True)))
        if max(box.right - box.left, box.bottom - box.top) >= SMALLEST * max(image.shape[:2]):
            return box
    return None
