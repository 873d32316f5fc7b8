"""Labelled pictures on their way from another format into ours: found, clipped, and of one label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.device.errors import DataError
from pocketsight.train.console import progress_bar

EXIF_TRANSPOSED = 0x0112, 5  # the EXIF entry of orientation, and the first of its values that swap width and height


class Annotation(NamedTuple):
    """One box as its source gives it, perhaps beyond its picture, perhaps of no area."""

    box: tuple[float, float, float, float]  # left, top, right, bottom, px of the upright picture
    label: str
    location: str  # file, and line or number of the box
    ignore: bool = False  # neither object nor background
    mask_state: int = -1  # 1: this face wears one, 0: it is bare, -1: the source does not say


@dataclass(frozen=True)
class AnnotatedImage:
    """One picture and what its source says about it."""

    path: Path
    annotations: list[Annotation] = field(default_factory=list)
    size: tuple[int, int] | None = None  # height, width; None: the source does not say
    group: str = ""
    source: str = ""  # which collection it came from

    @property
    def objects(self) -> list[Annotation]:
        return [mark for mark in self.annotations if not mark.ignore]

    @property
    def ignored(self) -> list[Annotation]:
        return [mark for mark in self.annotations if mark.ignore]


def parse_finite_numbers(words: Sequence[Any], location: str) -> list[float]:
    """The words as finite numbers. Raises DataError naming the one that is none."""
    found = []
    for word in words:
        try:
            found.append(float(word))
        except (TypeError, ValueError):
            raise DataError(f"{location}: {word!r} is not a number") from None
        if not isfinite(found[-1]):
            raise DataError(f"{location}: {word!r} is not a size or place in a picture")
    return found


def read_upright_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture as `read_image` will return it, without decoding its pixels. Raises DataError."""
    from PIL import Image as Pillow  # for sizes alone: it stops reading a file behind its header

    try:
        with Pillow.open(path) as image:
            width, height = image.size
            # "exif" first: a PNG without it would decode itself to look for it, and a TIFF's size is upright already.
            entry, first = EXIF_TRANSPOSED
            turned = "exif" in image.info and image.getexif().get(entry, 1) >= first
    except (OSError, SyntaxError, ValueError, TypeError, Pillow.DecompressionBombError) as error:
        raise DataError(f"{path} is not a picture whose size can be read: {error}") from error
    return (width, height) if turned else (height, width)


def require_images(images: list[AnnotatedImage], source: Path) -> None:
    """Raises DataError when a picture is listed twice or does not exist."""
    twice = [path for path, count in Counter(p.path for p in images).items() if count > 1]
    if twice:
        raise DataError(f"{source} lists {twice[0]} more than once ({len(twice)} such pictures); join its entries")
    missing = [p.path for p in progress_bar(images, description="looking for pictures") if not p.path.is_file()]
    if missing:
        raise DataError(
            f"{source} speaks of {missing[0]}, which does not exist; {len(missing)} of {len(images)} pictures "
            f"are missing; say where they are: --images DIR"
        )


def filter_label(images: list[AnnotatedImage], label: str | None, source: Path) -> tuple[list[AnnotatedImage], str]:
    """The pictures with the marks of one label only, and that label. Raises DataError when it is not clear which."""
    counts = Counter(mark.label for picture in images for mark in picture.annotations)
    there = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
    if label is None and len(counts) > 1:
        raise DataError(f"{source} has boxes of {there}; a detector learns one kind of object: choose it with --label")
    if label is not None and counts and label not in counts:
        raise DataError(f"{source} has no box of {label!r}; it has: {there}")
    chosen = label or next(iter(counts), "face")
    return [replace(p, annotations=[m for m in p.annotations if m.label == chosen]) for p in images], chosen


def clip_boxes(images: list[AnnotatedImage]) -> tuple[list[AnnotatedImage], list[Annotation]]:
    """The pictures with their sizes, their boxes cut at the edges (1/1000 px), and the boxes of which nothing is left.

    Raises DataError when a size cannot be read.
    """
    found: list[AnnotatedImage] = []
    dropped: list[Annotation] = []
    for picture in progress_bar(images, description="reading sizes"):
        height, width = picture.size or read_upright_size(picture.path)
        marks: list[Annotation] = []
        for mark in picture.annotations:
            left, top, right, bottom = mark.box
            left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
            box = round(left, 3), round(top, 3), round(right, 3), round(bottom, 3)
            (marks if box[0] < box[2] and box[1] < box[3] else dropped).append(mark._replace(box=box))
        found.append(replace(picture, annotations=marks, size=(height, width)))
    return found, dropped


def require_positive_size(size: tuple[int, int], location: object) -> tuple[int, int]:
    if min(size) < 1:
        raise DataError(f"{location} says that its picture is {size[1]}x{size[0]}")
    return size
