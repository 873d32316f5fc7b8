"""Face alignment: the shipped detector finds the face in each image, and training crops there, as the board does."""

from __future__ import annotations

from collections.abc import Sequence
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
from pocketsight.train.console import ProgressFn, log_message, progress_bar
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.recipe import Recipe

# Share of the detector's input that the image fills. A face that fills the whole input would be too large for it.
FILL_SHARE = 0.5
PADDING_GRAY = 128  # gray level around the image; with black the detector finds a few faces less
MIN_SCORE = 0.3  # low, since each image is known to show a face
MIN_BOX_SHARE = 0.25  # of the image's longer side; a smaller box is another face, or none
MIN_FOUND_SHARE = 0.5  # of the images; below, no image is aligned


def load_face_finder(path: Path | None) -> Model:
    """The detector of a file; None: the shipped one. Raises ModelError."""
    return load_on_cpu(path or MODELS_DIR / "detector.tflite", "detector")


def align_faces(
    samples: Sequence[ClassificationSample],
    detector: Model,
    progress: ProgressFn = iter,
) -> list[ClassificationSample]:
    """The samples with the box of their face, if one is found. An unreadable sample is returned unchanged."""
    return [_align_sample(sample, detector) for sample in progress(samples)]


def align_splits(
    splits: Sequence[list[ClassificationSample]], recipe: Recipe, detector: Path | None
) -> tuple[list[list[ClassificationSample]], Recipe]:
    """The splits with the boxes of the faces, and the recipe, whose `align_faces` records whether that was done.

    When fewer than half of the images have a detected face, no image is aligned: the objects may be no faces.
    """
    if not recipe.align_faces:
        return list(splits), recipe
    # The two splits are one list when too few samples could be held out.
    by_id = {id(samples): _align_with_progress(samples, detector) for samples in splits}
    aligned = [by_id[id(samples)] for samples in splits]
    total, found = sum(map(len, aligned)), sum(sample.box is not None for samples in aligned for sample in samples)
    if found < MIN_FOUND_SHARE * total:
        log_message(
            f"faces were found in {found} of {total} images only: no image is aligned; choose another --detector"
        )
        return list(splits), replace(recipe, align_faces=False)
    if found < total:
        log_message(f"faces were found in {found} of {total} images; the others are used as they are")
    return aligned, recipe


def apply_training_alignment(
    samples: list[ClassificationSample], spec: ModelSpec, detector: Path | None = None
) -> list[ClassificationSample]:
    """The samples as the network of `spec` was trained on them: with face boxes or without. Raises ModelError."""
    is_aligned = spec.training.get("recipe", {}).get("align_faces")
    return _align_with_progress(samples, detector) if is_aligned else samples


def _align_with_progress(samples: Sequence[ClassificationSample], detector: Path | None) -> list[ClassificationSample]:
    return align_faces(samples, load_face_finder(detector), partial(progress_bar, description="finding faces"))


def _align_sample(sample: ClassificationSample, detector: Model) -> ClassificationSample:
    try:
        return replace(sample, box=find_face(read_image(sample.path), detector))
    except DataError:  # training reports it
        return sample


def find_face(image: Image, detector: Model) -> Box | None:
    """The box in px of the most confident face in an image that it may fill; None if none is found.

    The box may reach beyond the image.
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
