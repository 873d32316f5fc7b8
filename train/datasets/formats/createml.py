"""Reader of CreateML's JSON, also written by labelImg, supervision and Roboflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, box_or_problem, parse_finite_numbers
from pocketsight.train.datasets.formats.image_finder import finder_near
from pocketsight.train.datasets.formats.layout import read_json
from pocketsight.train.datasets.formats.shapes import Bounds, is_ignored
from pocketsight.train.datasets.splits import parse_split_of_file


def read_createml(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of a list of `image` and `annotations`; x and y of a box are its center, in px.

    `images` is their folder; None: searched near the file. Raises DataError, naming the image.
    """
    rows = read_json(source)
    if not isinstance(rows, list):
        raise DataError(f"{source} is not CreateML's JSON: it must be a list of images")
    finder = finder_near(source, images, parse_split_of_file(source))
    result = []
    for number, row in enumerate(rows, 1):
        name = (row.get("image") or row.get("imagefilename")) if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise DataError(f"{source}: entry {number} names no image")
        notes = row.get("annotations") or row.get("annotation") or []
        if not isinstance(notes, list):
            raise DataError(f"{source}: {name}: annotations is not a list")
        annotations = [_read_box(note, f"{source}: {name}: box {n}") for n, note in enumerate(notes, 1)]
        result.append(AnnotatedImage(finder.find(name), annotations))
    return result


def _read_box(note: Any, location: str) -> Annotation:
    if not isinstance(note, dict) or not isinstance(note.get("label"), str):
        raise DataError(f"{location} has no label")

    def read_bounds() -> Bounds:
        coordinates = note["coordinates"]
        values = [coordinates.get(key) for key in ("x", "y", "width", "height")]
        x, y, width, height = parse_finite_numbers(values, location)
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2

    return box_or_problem(note["label"], location, is_ignored(note), read_bounds)
