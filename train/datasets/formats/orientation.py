"""Sizes and boxes of images that carry an EXIF rotation: some tools store them before it, some after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import FIRST_TRANSPOSED, AnnotatedImage, Annotation, read_orientation
from pocketsight.train.datasets.formats.shapes import Bounds

TOLERANCE = 1.5  # px by which a box may reach beyond its image: tools round, and count from 0 or 1
MIN_PROOF = 0.1  # of the shorter side: boxes so far outside an upright image are those of the image before its rotation
UPRIGHT, RAW, EITHER, NEITHER = "upright", "raw", "either", "neither"


@dataclass
class SizeReport:
    """What was found about the sizes of images."""

    settled: list[Path] = field(default_factory=list)  # stored before the rotation; the boxes prove which way is up
    assumed: list[Path] = field(default_factory=list)  # the boxes fit both ways; they were taken as upright or by vote
    resized: list[Path] = field(default_factory=list)  # the labels are for an image of another size: left out


def settle_sizes(images: Sequence[AnnotatedImage]) -> tuple[list[AnnotatedImage], SizeReport]:
    """The images with the size of their file, upright, and with boxes of the upright image.

    Where a rotated image was labeled before its rotation, its boxes are rotated. Boxes that fit only one way prove
    which; an image whose boxes fit both ways follows the others of the data set, and is upright where these say
    nothing. Images whose labels are for another size are left out. Raises DataError when a size cannot be read.
    """
    report = SizeReport()
    facts = [read_orientation(image.path) for image in progress_bar(images, description="reading sizes")]
    fits = [_fit(image, size, orientation) for image, (size, orientation) in zip(images, facts, strict=True)]
    is_raw_set = RAW in fits and UPRIGHT not in fits
    settled = []
    for image, (size, orientation), fit in zip(images, facts, fits, strict=True):
        is_swapped = image.size is not None and image.size != size and image.size == size[::-1]
        if image.size not in (None, size) and not (is_swapped and (orientation >= FIRST_TRANSPOSED or fit != NEITHER)):
            report.resized.append(image.path)
            continue
        is_raw = fit == RAW or (fit == EITHER and is_raw_set and orientation > 1)
        if is_swapped and image.annotations:
            (report.assumed if fit == EITHER else report.settled).append(image.path)
        elif fit == RAW:
            report.settled.append(image.path)
        annotations = image.annotations
        if is_raw:
            annotations = [a._replace(box=rotate_box(a.box, size, orientation)) for a in annotations]
        settled.append(replace(image, annotations=annotations, size=size))
    return settled, report


def _fit(image: AnnotatedImage, size: tuple[int, int], orientation: int) -> str:
    """Which way the boxes fit: into the upright image of `size`, into that before its rotation, both, or neither."""
    upright = _overflow(image.annotations, size) <= TOLERANCE
    if orientation < FIRST_TRANSPOSED:
        return EITHER if upright else NEITHER
    raw = _overflow(image.annotations, size[::-1]) <= TOLERANCE
    if raw and not upright and image.size != size[::-1]:
        # The size is upright, so a box a little beyond the border is just that.
        raw = _overflow(image.annotations, size) > MIN_PROOF * min(size)
    return {(True, True): EITHER, (True, False): UPRIGHT, (False, True): RAW}.get((upright, raw), NEITHER)


def _overflow(annotations: Sequence[Annotation], size: tuple[int, int]) -> float:
    """How far the boxes reach beyond the right or lower border of an image of `size`, in px."""
    height, width = size
    return max((max(a.box[2] - width, a.box[3] - height) for a in annotations), default=0.0)


def rotate_box(box: Bounds, size: tuple[int, int], orientation: int) -> Bounds:
    """A box of the image before its EXIF rotation in the upright image, whose height and width are `size`."""
    height, width = size
    left, top, right, bottom = box
    if orientation in (5, 6, 7, 8):
        left, top, right, bottom = top, left, bottom, right  # transposed
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom
