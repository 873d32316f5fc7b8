"""Annotated images between a reader and a writer: checked, clipped, and filtered by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.device.errors import DataError
from pocketsight.train.console import progress_bar

EXIF_ORIENTATION = 0x0112  # tag number
FIRST_TRANSPOSED = 5  # orientations from this value on swap width and height


class Annotation(NamedTuple):
    """One box as stored: it may reach beyond its image, or have no area."""

    box: tuple[float, float, float, float]  # left, top, right, bottom, px of the upright image
    label: str
    location: str  # file, and line or number of the box, for error messages
    ignore: bool = False  # neither object nor background
    mask_state: int = -1  # 1: a face with a mask, 0: without, -1: unknown


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and its annotations."""

    path: Path
    annotations: list[Annotation] = field(default_factory=list)
    size: tuple[int, int] | None = None  # height, width in px; None: not stored
    group: str = ""  # images of one group stay in one split
    source: str = ""  # its collection

    @property
    def objects(self) -> list[Annotation]:
        """The annotations that are not to be ignored."""
        return [annotation for annotation in self.annotations if not annotation.ignore]

    @property
    def ignored(self) -> list[Annotation]:
        """The annotations that are neither object nor background."""
        return [annotation for annotation in self.annotations if annotation.ignore]


def parse_finite_numbers(words: Sequence[Any], location: str) -> list[float]:
    """The words as numbers. Raises DataError, naming the location, when one is not a finite number."""
    numbers = []
    for word in words:
        try:
            numbers.append(float(word))
        except (TypeError, ValueError):
            raise DataError(f"{location}: {word!r} is not a number") from None
        if not isfinite(numbers[-1]):
            raise DataError(f"{location}: {word!r} is not a finite number")
    return numbers


def read_upright_size(path: Path) -> tuple[int, int]:
    """Height and width of the image that `read_image` returns, without decoding pixels. Raises DataError."""
    from PIL import Image as Pillow  # reads the header only

    try:
        with Pillow.open(path) as image:
            width, height = image.size
            # "exif" is checked first: a PNG without it would be decoded, and the size of a TIFF is upright already.
            is_transposed = "exif" in image.info and image.getexif().get(EXIF_ORIENTATION, 1) >= FIRST_TRANSPOSED
    except (OSError, SyntaxError, ValueError, TypeError, Pillow.DecompressionBombError) as error:
        raise DataError(f"{path} is not an image whose size can be read: {error}") from error
    return (width, height) if is_transposed else (height, width)


def require_images(images: list[AnnotatedImage], source: Path) -> None:
    """Raises DataError when an image is listed twice or does not exist."""
    repeated = [path for path, count in Counter(image.path for image in images).items() if count > 1]
    if repeated:
        raise DataError(f"{source} lists {repeated[0]} more than once ({len(repeated)} such images); merge its entries")
    missing = [i.path for i in progress_bar(images, description="looking for images") if not i.path.is_file()]
    if missing:
        raise DataError(
            f"{source} names {missing[0]}, which does not exist; {len(missing)} of {len(images)} images are missing; "
            "give their folder: --images DIR"
        )


def filter_label(images: list[AnnotatedImage], label: str | None, source: Path) -> tuple[list[AnnotatedImage], str]:
    """The images with the annotations of one label only, and that label. Raises DataError when it is ambiguous."""
    counts = Counter(annotation.label for image in images for annotation in image.annotations)
    used = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
    if label is None and len(counts) > 1:
        raise DataError(f"{source} has boxes of {used}; a detector learns one kind of object: choose it with --label")
    if label is not None and counts and label not in counts:
        raise DataError(f"{source} has no box of {label!r}; it has: {used}")
    chosen = label or next(iter(counts), "face")
    return [replace(i, annotations=[a for a in i.annotations if a.label == chosen]) for i in images], chosen


def clip_boxes(images: list[AnnotatedImage]) -> tuple[list[AnnotatedImage], list[Annotation]]:
    """The images with their sizes and clipped boxes (rounded to 1/1000 px), and the boxes without area.

    Raises DataError when a size cannot be read.
    """
    clipped: list[AnnotatedImage] = []
    dropped: list[Annotation] = []
    for image in progress_bar(images, description="reading sizes"):
        height, width = image.size or read_upright_size(image.path)
        annotations: list[Annotation] = []
        for annotation in image.annotations:
            left, top, right, bottom = annotation.box
            left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
            box = round(left, 3), round(top, 3), round(right, 3), round(bottom, 3)
            has_area = box[0] < box[2] and box[1] < box[3]
            (annotations if has_area else dropped).append(annotation._replace(box=box))
        clipped.append(replace(image, annotations=annotations, size=(height, width)))
    return clipped, dropped


def require_positive_size(size: tuple[int, int], location: object) -> tuple[int, int]:
    """Returns `size` (height, width). Raises DataError when a side is below 1 px."""
    if min(size) < 1:
        raise DataError(f"{location}: the image size {size[1]}x{size[0]} is invalid")
    return size
