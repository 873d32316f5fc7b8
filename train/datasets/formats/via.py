"""Reader of the JSON of VGG Image Annotator (VIA) 1 and 2, annotations or project: https://www.robots.ox.ac.uk/~vgg/software/via/"""

from __future__ import annotations

from functools import partial
from math import degrees
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.formats.base import (
    NO_LABEL,
    AnnotatedImage,
    Annotation,
    box_or_problem,
    named_errors,
    parse_finite_numbers,
)
from pocketsight.train.datasets.formats.image_finder import finder_near
from pocketsight.train.datasets.formats.layout import read_json
from pocketsight.train.datasets.formats.shapes import (
    IGNORE_KEYS,
    Bounds,
    circle_bounds,
    ellipse_bounds,
    is_ignored,
    points_bounds,
)
from pocketsight.train.datasets.splits import parse_split_of_file

LABEL_KEYS = "label", "class", "name", "type", "object", "category"  # attributes that hold the label, if there are more


def read_via(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of a JSON file. `images` is their folder; None: searched near the file.

    The label is the attribute of a region; of several, that named label, class or the like, else the first. Raises
    DataError, naming the region.
    """
    content = read_json(source)
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    entries = list(content.values()) if isinstance(content, dict) else []
    if not entries or not all(isinstance(entry, dict) and isinstance(entry.get("filename"), str) for entry in entries):
        raise DataError(f"{source} is not VIA's JSON: each image needs a filename and regions")
    finder = finder_near(source, images, parse_split_of_file(source))
    return [
        AnnotatedImage(finder.find(entry["filename"]), _read_regions(entry, f"{source}: {entry['filename']}"))
        for entry in entries
    ]


def _read_regions(entry: dict[str, Any], location: str) -> list[Annotation]:
    regions = entry.get("regions") or []
    regions = list(regions.values()) if isinstance(regions, dict) else regions  # VIA 1
    if not isinstance(regions, list):
        raise DataError(f"{location}: regions is no list")
    annotations = []
    for number, region in enumerate(regions, 1):
        place = f"{location}: region {number}"
        if not isinstance(region, dict) or not isinstance(region.get("shape_attributes"), dict):
            raise DataError(f"{place} has no shape_attributes")
        shape, attributes = region["shape_attributes"], region.get("region_attributes") or {}
        with named_errors(place):
            label, ignore = _find_label(attributes), is_ignored(attributes, _checked(attributes))
        annotations.append(box_or_problem(label, place, ignore, partial(_shape_bounds, shape, place)))
    return annotations


def _find_label(attributes: dict[str, Any]) -> str:
    values = {key: value for key, value in attributes.items() if key.lower() not in IGNORE_KEYS and value}
    key = next((key for key in LABEL_KEYS if key in values), next(iter(values), None))
    if key is None:
        return NO_LABEL
    value = values[key]
    names = value if isinstance(value, list) else [value]
    if isinstance(value, dict):  # checkboxes
        names = [name for name, is_on in value.items() if is_on]
    names = [str(name) for name in names if str(name).lower() not in IGNORE_KEYS]
    return ", ".join(names) or NO_LABEL


def _checked(attributes: dict[str, Any]) -> dict[str, Any]:
    """All checkboxes of the attributes in one."""
    return {k: v for value in attributes.values() if isinstance(value, dict) for k, v in value.items()}


def _shape_bounds(shape: dict[str, Any], location: str) -> Bounds:
    def numbers(*keys: str) -> list[float]:
        return parse_finite_numbers([shape.get(key) for key in keys], location)

    name = shape.get("name")
    if name == "rect":
        x, y, width, height = numbers("x", "y", "width", "height")
        return x, y, x + width, y + height
    if name == "circle":
        x, y, radius = numbers("cx", "cy", "r")
        return circle_bounds(x, y, radius, radius)
    if name == "ellipse":
        x, y, radius_x, radius_y = numbers("cx", "cy", "rx", "ry")
        return ellipse_bounds(x, y, radius_x, radius_y, degrees(parse_finite_numbers([shape.get("theta") or 0], "")[0]))
    if name == "polygon":
        xs, ys = (parse_finite_numbers(shape[f"all_points_{axis}"], location) for axis in ("x", "y"))
        return points_bounds(xs, ys)
    raise DataError(f"{location} is {f'a {name}' if name else 'no shape'}; draw a rectangle around the object")
