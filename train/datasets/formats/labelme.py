"""TODO docstring."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import (
    AnnotatedImage,
    Annotation,
    parse_finite_numbers,
    require_positive_size,
)
from pocketsight.train.datasets.formats.layout import (
    pair_images_with_labels,
    read_json,
)

BoxXyxy = tuple[float, float, float, float]


def read_labelme(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """labelme: a .json file for each picture, in labels/ or beside it. A picture without one has no object."""
    found = pair_images_with_labels(source, images, ".json")
    return [read_labelme_image(path, file) for path, file in progress_bar(found)]


def read_labelme_image(path: Path, file: Path | None) -> AnnotatedImage:
    """One picture and its file, or without. Raises DataError naming the shape."""
    if not file:
        return AnnotatedImage(path)
    note, marks = read_json(file), []
    try:
        size = int(note["imageHeight"]), int(note["imageWidth"])
        for number, shape in enumerate(note["shapes"]):
            where = f"{file}: shape {number}"
            marks.append(Annotation(_finite_box(_shape_bounds(shape, where), where), str(shape["label"]), where))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise DataError(f"{file} is not a labelme file: {error!r}") from error
    return AnnotatedImage(path, marks, require_positive_size(size, file))


def _shape_bounds(shape: dict[str, Any], location: str) -> list[float]:
    """The box around a labelme shape: rectangle, polygon or circle (its centre and a point on it)."""
    points = np.array(shape["points"], np.float32).reshape(-1, 2)
    kind = shape.get("shape_type", "rectangle")
    if kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        return [*(points[0] - radius).tolist(), *(points[0] + radius).tolist()]
    if kind not in ("rectangle", "polygon"):
        raise DataError(f"{location} is a {kind}; draw a rectangle around the object")
    return [*points.min(0).tolist(), *points.max(0).tolist()]


def _finite_box(values: Iterable[Any], location: str) -> BoxXyxy:
    left, top, right, bottom = parse_finite_numbers(list(values), location)
    return left, top, right, bottom
