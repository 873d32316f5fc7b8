"""Reader of "CVAT for images 1.1": https://docs.cvat.ai/docs/manual/advanced/xml_format/"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, box_or_problem, parse_finite_numbers
from pocketsight.train.datasets.formats.image_finder import ImageFinder, finder_near
from pocketsight.train.datasets.formats.layout import read_xml
from pocketsight.train.datasets.formats.shapes import Bounds, ellipse_bounds, is_ignored, points_bounds, rotated_bounds
from pocketsight.train.datasets.splits import parse_split_name

SHAPES = "box", "polygon", "ellipse", "mask", "cuboid", "points", "polyline", "skeleton"


def read_cvat(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of an XML file, with the split that its `subset` names. `images` is their folder.

    Boxes rotate about their center. Raises DataError, naming the image.
    """
    root = read_xml(source)
    if root.find("track") is not None:
        raise DataError(f"{source} is CVAT's XML for video; export it as CVAT for images 1.1")
    result, finders = [], dict[str, ImageFinder]()
    for number, item in enumerate(root.iter("image"), 1):
        name = item.get("name")
        if not name:
            raise DataError(f"{source}: image {number} has no name")
        subset = item.get("subset") or ""
        split = parse_split_name(subset)
        finder = finders.get(split) or finders.setdefault(split, finder_near(source, images, split))
        names = [f"{subset}/{name}", name] if subset else [name]
        sides = parse_finite_numbers([item.get("height") or 0, item.get("width") or 0], f"{source}: {name}")
        size = (int(sides[0]), int(sides[1])) if min(sides) >= 1 else None
        notes = [_read_shape(shape, f"{source}: {name}: {shape.tag} {n}") for n, shape in _shapes(item)]
        result.append(AnnotatedImage(finder.find(*names), notes, size, split=split))
    return result


def _shapes(item: Element) -> list[tuple[int, Element]]:
    return list(enumerate((child for child in item if child.tag in SHAPES), 1))


def _read_shape(shape: Element, location: str) -> Annotation:
    label = shape.get("label")
    if not label:
        raise DataError(f"{location} has no label")
    attributes = {row.get("name") or "": row.text or "" for row in shape.iter("attribute")}
    return box_or_problem(label, location, is_ignored(attributes), lambda: _shape_bounds(shape, location))


def _shape_bounds(shape: Element, location: str) -> Bounds:
    def numbers(*keys: str) -> list[float]:
        return parse_finite_numbers([shape.get(key) for key in keys], location)

    rotation = parse_finite_numbers([shape.get("rotation") or 0], location)[0]
    if shape.tag == "box":
        left, top, right, bottom = numbers("xtl", "ytl", "xbr", "ybr")
        return rotated_bounds((left, top, right, bottom), rotation)
    if shape.tag == "polygon":
        points = [parse_finite_numbers(pair.split(","), location) for pair in (shape.get("points") or "").split(";")]
        return _points(points)
    if shape.tag == "ellipse":
        x, y, radius_x, radius_y = numbers("cx", "cy", "rx", "ry")
        return ellipse_bounds(x, y, radius_x, radius_y, rotation)
    if shape.tag == "mask":
        left, top, width, height = numbers("left", "top", "width", "height")
        return left, top, left + width, top + height
    if shape.tag == "cuboid":
        keys = [key for key in shape.keys() if key[0] in "xy" and key[-1].isdecimal()]
        return points_bounds(
            numbers(*(key for key in keys if key[0] == "x")), numbers(*(key for key in keys if key[0] == "y"))
        )
    raise DataError(f"{location} is no area; draw a rectangle around the object")


def _points(points: Sequence[Sequence[float]]) -> Bounds:
    return points_bounds([point[0] for point in points], [point[1] for point in points])
