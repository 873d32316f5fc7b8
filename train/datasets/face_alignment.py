"""Where the face lies in each portrait, found by the board's own detector: training cuts there, as the board will."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model, load_on_cpu
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.console import log_message, progress_bar
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.recipe import Recipe

FILL_SHARE = (
    0.5  # of the detector's input that the picture fills: a face that fills the picture is too large for it else
)
PADDING_GRAY = 128  # grey level of the rest; in black it finds a few less
MIN_SCORE = 0.3  # score: in a portrait a face is likely
MIN_BOX_SHARE = 0.25  # longer side of a box, in the picture's longer sides: smaller ones are somebody else, or nobody


def load_face_finder(path: Path | None) -> Model:
    """The detector of a file, or without one ours. Raises ModelError."""
    return load_on_cpu(path or MODELS_DIR / "detector.tflite", "detector")


def align_faces(
    samples: Sequence[ClassificationSample],
    detector: Model,
    progress: Callable[[Sequence[ClassificationSample]], Iterable[ClassificationSample]] = iter,
) -> list[ClassificationSample]:
    """The portraits with the box of their face, where one is found; one that cannot be read stays as it is."""
    return [_align_sample(portrait, detector) for portrait in progress(samples)]


def align_splits(
    splits: Sequence[list[ClassificationSample]], recipe: Recipe, detector: Path | None
) -> tuple[list[list[ClassificationSample]], Recipe]:
    """The parts of a data set with the boxes of their faces, and the recipe, which remembers whether that was done.

    Where fewer than half of the pictures show what the detector finds, all of them are taken as they are.
    """
    if not recipe.align_faces:
        return list(splits), recipe
    shown = {
        id(part): _align_with_progress(part, detector) for part in splits
    }  # both may be one: too few to hold any out
    done = [shown[id(part)] for part in splits]
    count, found = sum(map(len, done)), sum(portrait.box is not None for part in done for portrait in part)
    if 2 * found < count:
        log_message(
            f"faces were found in {found} of {count} pictures only: each is taken as it is; --detector names another"
        )
        return list(splits), replace(recipe, align_faces=False)
    if found < count:
        log_message(f"faces were found in {found} of {count} pictures; the others are taken as they are")
    return done, recipe


def apply_training_alignment(
    samples: list[ClassificationSample], spec: ModelSpec, detector: Path | None = None
) -> list[ClassificationSample]:
    """The portraits as a net was trained on them: with the boxes of their faces, or as they are. Raises ModelError."""
    aligned = spec.training.get("recipe", {}).get("align_faces")
    return _align_with_progress(samples, detector) if aligned else samples


def _align_with_progress(samples: Sequence[ClassificationSample], detector: Path | None) -> list[ClassificationSample]:
    return align_faces(samples, load_face_finder(detector), partial(progress_bar, description="finding faces"))


def _align_sample(sample: ClassificationSample, detector: Model) -> ClassificationSample:
    try:
        return replace(sample, box=find_face(read_image(sample.path), detector))
    except DataError:  # training will say so
        return sample


def find_face(image: Image, detector: Model) -> Box | None:
    """The likeliest face in an RGB picture (H, W, 3) that may be filled by it, in pixels; None: none is found.

    It may reach beyond the picture, as the face does.
    """
    height, width = detector.spec.input_size
    inner = round(height * FILL_SHARE), round(width * FILL_SHARE)
    scale = min(inner[0] / image.shape[0], inner[1] / image.shape[1])
    h, w = (max(1, round(length * scale)) for length in image.shape[:2])
    top, left = (height - h) // 2, (width - w) // 2
    frame = np.full((height, width, 3), PADDING_GRAY, np.uint8)
    frame[top : top + h, left : left + w] = letterbox(image, (h, w))[0]
    for face in detect(frame, detector, score_threshold=MIN_SCORE):
        box = Box(*((side - at) / scale for side, at in zip(face.box, (left, top, left, top), strict=True)))
        if box.longer_side >= MIN_BOX_SHARE * max(image.shape[:2]):
            return box
    return None
