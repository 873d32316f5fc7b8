"""Bounding boxes of the shapes that annotation tools write: left, top, right, bottom in the unit of the points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import cos, hypot, radians, sin
from typing import Any

Bounds = tuple[float, float, float, float]
# Keys of objects that are neither object nor background, in any capitals.
IGNORE_KEYS = {"difficult", "iscrowd", "is_crowd", "crowd", "ignore", "ignored"}
FALSE_WORDS = {"", "0", "0.0", "false", "no", "none", "off"}


def is_ignored(*attributes: object) -> bool:
    """Whether one of the mappings says that an object is difficult, a crowd or to ignore."""
    return any(
        str(key).strip().lower() in IGNORE_KEYS and str(value).strip().lower() not in FALSE_WORDS
        for mapping in attributes
        if isinstance(mapping, Mapping)
        for key, value in mapping.items()
    )


def points_bounds(xs: Sequence[float], ys: Sequence[float]) -> Bounds:
    """The box around points. Raises ValueError without one, or when the numbers of coordinates differ."""
    if not xs or len(xs) != len(ys):
        raise ValueError("points are missing")
    return min(xs), min(ys), max(xs), max(ys)


def circle_bounds(x: float, y: float, radius_x: float, radius_y: float) -> Bounds:
    """The box around a circle or upright ellipse."""
    return x - radius_x, y - radius_y, x + radius_x, y + radius_y


def ellipse_bounds(x: float, y: float, radius_x: float, radius_y: float, degrees: float) -> Bounds:
    """The box around a rotated ellipse."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return circle_bounds(x, y, hypot(radius_x * c, radius_y * s), hypot(radius_x * s, radius_y * c))


def rotated_bounds(box: Bounds, degrees: float, pivot: tuple[float, float] | None = None) -> Bounds:
    """The box around a box that is rotated clockwise about `pivot`; None: about its center, as CVAT does."""
    if not degrees % 360:
        return box
    left, top, right, bottom = box
    px, py = pivot or ((left + right) / 2, (top + bottom) / 2)
    c, s = cos(radians(degrees)), sin(radians(degrees))
    corners = [(x - px, y - py) for x in (left, right) for y in (top, bottom)]
    return points_bounds([px + x * c - y * s for x, y in corners], [py + x * s + y * c for x, y in corners])


def mask_bounds(segmentation: Any) -> Bounds | None:
    """The box around a COCO mask: run lengths, packed or not. None if it is empty.

    Raises ValueError when the runs are not those of a mask of its size.
    """
    from pycocotools import mask

    height, width = (int(side) for side in segmentation["size"])
    runs = segmentation
    if isinstance(segmentation["counts"], list):
        if sum(segmentation["counts"]) != height * width:
            raise ValueError("the runs of the mask do not add up to its size")
        runs = mask.frPyObjects(segmentation, height, width)
    x, y, w, h = (float(value) for value in mask.toBbox(runs))
    if x + w > width or y + h > height:
        raise ValueError("the mask is larger than its size")
    return (x, y, x + w, y + h) if w and h else None
