"""Reader of labelme files, one JSON file for each image: https://github.com/wkentaro/labelme"""

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
from pocketsight.train.datasets.formats.layout import pair_images_with_labels, read_json

BoxXyxy = tuple[float, float, float, float]


def read_labelme(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of a folder, with their .json files in labels/ or next to them. Raises DataError.

    An image without a file has no object. `images` is the folder of the images, if it is elsewhere.
    """
    pairs = pair_images_with_labels(source, images, ".json")
    return [read_labelme_image(path, file) for path, file in progress_bar(pairs)]


def read_labelme_image(path: Path, file: Path | None) -> AnnotatedImage:
    """One image and the boxes of its file; None: no object. Raises DataError, naming the shape."""
    if not file:
        return AnnotatedImage(path)
    content, annotations = read_json(file), []
    try:
        size = int(content["imageHeight"]), int(content["imageWidth"])
        for number, shape in enumerate(content["shapes"]):
            location = f"{file}: shape {number}"
            box = _finite_box(_shape_bounds(shape, location), location)
            annotations.append(Annotation(box, str(shape["label"]), location))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise DataError(f"{file} is not a labelme file: {error!r}") from error
    return AnnotatedImage(path, annotations, require_positive_size(size, file))


def _shape_bounds(shape: dict[str, Any], location: str) -> list[float]:
    """The bounding box of a rectangle, polygon or circle (given by its center and one point)."""
    points = np.array(shape["points"], np.float32).reshape(-1, 2)
    shape_type = shape.get("shape_type", "rectangle")
    if shape_type == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        return [*(points[0] - radius).tolist(), *(points[0] + radius).tolist()]
    if shape_type not in ("rectangle", "polygon"):
        raise DataError(f"{location} is a {shape_type}; draw a rectangle around the object")
    return [*points.min(0).tolist(), *points.max(0).tolist()]


def _finite_box(values: Iterable[Any], location: str) -> BoxXyxy:
    left, top, right, bottom = parse_finite_numbers(list(values), location)
    return left, top, right, bottom
