"""Reader of labelme files, one JSON file for each image: https://github.com/wkentaro/labelme"""

from __future__ import annotations

from math import hypot
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import (
    AnnotatedImage,
    Annotation,
    box_or_problem,
    parse_finite_numbers,
    require_positive_size,
)
from pocketsight.train.datasets.formats.layout import pair_images_with_labels, read_json
from pocketsight.train.datasets.formats.shapes import Bounds, circle_bounds, is_ignored, points_bounds

# Shapes without an area: their bounds are not the object.
OPEN_SHAPES = {"point", "points", "line", "linestrip", "lines"}


def read_labelme(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of a folder, with their .json files in labels/ or next to them. Raises DataError.

    An image without a file has no object. `images` is the folder of the images, if it is elsewhere.
    """
    pairs = pair_images_with_labels(source, images, ".json", _named_image)
    return [read_labelme_image(path, file) for path, file in progress_bar(pairs)]


def read_labelme_image(path: Path, file: Path | None) -> AnnotatedImage:
    """One image and the boxes of its file; None: no object. Shapes with `difficult` are boxes to ignore.

    A shape without a box gives its annotation a problem. Raises DataError, naming the file or the shape.
    """
    if not file:
        return AnnotatedImage(path)
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise DataError(f"{file} is not a labelme file: it has no list 'shapes'")
    height, width = (content.get(key) for key in ("imageHeight", "imageWidth"))
    size = None
    if height is not None and width is not None:
        numbers = parse_finite_numbers([height, width], f"{file}: imageHeight and imageWidth")
        size = require_positive_size((int(numbers[0]), int(numbers[1])), file)
    annotations = [_read_shape(shape, f"{file}: shape {n}") for n, shape in enumerate(content["shapes"])]
    return AnnotatedImage(path, annotations, size)


def _read_shape(shape: Any, location: str) -> Annotation:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
        file, _, name = location.rpartition(": ")
        raise DataError(f"{file} is not a labelme file: {name} has no label")
    ignore = is_ignored(shape, shape.get("flags"), shape.get("attributes"))
    return box_or_problem(shape["label"], location, ignore, lambda: _shape_bounds(shape, location))


def _shape_bounds(shape: dict[str, Any], location: str) -> Bounds:
    """The box around a shape; a circle is given by its center and one point."""
    shape_type = shape.get("shape_type") or "rectangle"
    if shape_type in OPEN_SHAPES:
        raise DataError(f"{location} is a {shape_type}; draw a rectangle around the object")
    points = [parse_finite_numbers(point, location) for point in shape["points"]]
    if len(points) < 2:
        raise DataError(f"{location} has {len(points)} point(s); draw a rectangle around the object")
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    if shape_type == "circle":
        radius = hypot(xs[1] - xs[0], ys[1] - ys[0])
        return circle_bounds(xs[0], ys[0], radius, radius)
    return points_bounds(xs, ys)


def _named_image(file: Path) -> str:
    content = read_json(file)
    return str(content.get("imagePath") or "") if isinstance(content, dict) else ""
