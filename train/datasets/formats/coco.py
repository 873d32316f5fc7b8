"""Reader of COCO files: https://cocodataset.org/#format-data"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.formats.base import (
    AnnotatedImage,
    Annotation,
    box_or_problem,
    explain_error,
    parse_finite_numbers,
    require_positive_size,
)
from pocketsight.train.datasets.formats.detect import import_hint
from pocketsight.train.datasets.formats.image_finder import ImageFinder, finder_near
from pocketsight.train.datasets.formats.layout import read_json
from pocketsight.train.datasets.formats.shapes import Bounds, is_ignored, mask_bounds, points_bounds, rotated_bounds
from pocketsight.train.datasets.splits import parse_split_of_file

PARTS = "images", "annotations", "categories"


def read_coco(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of a COCO file of any tool, in its order. `images` is their folder; None: searched near the file.

    Annotations with `iscrowd`, `ignore` or `difficult` are boxes to ignore. Without `bbox` the box is that around
    `segmentation`. Extensions of pocketsight: `group` and `source` of an image, `mask` (0 or 1) of a face. Raises
    DataError, naming the annotation.
    """
    return _read_entries(source, finder_near(source, images, parse_split_of_file(source)))


def read_own_coco(source: Path) -> list[AnnotatedImage]:
    """The images of a COCO file whose names are exact paths, relative to the file. Raises DataError as `read_coco`."""
    try:
        return _read_entries(source, ImageFinder([source.parent]))
    except DataError as error:
        if source.is_file() and (hint := import_hint(source)):
            raise DataError(f"{source} is not a COCO file{hint}") from error
        raise


def find_own_images(content: dict[str, Any], source: Path) -> list[Path]:
    """The path of each image of the COCO file `source`, whose names are exact; `content` is what it holds."""
    finder = ImageFinder([source.parent])
    return [finder.find(str(row["file_name"])) for row in content["images"]]


def _read_entries(source: Path, finder: ImageFinder) -> list[AnnotatedImage]:
    data = read_json(source)
    if not isinstance(data, dict) or not all(isinstance(data.get(part), list) for part in PARTS):
        missing = [part for part in PARTS if not isinstance(data, dict) or not isinstance(data.get(part), list)]
        what = f"it has no list {missing[0]!r}; it needs {', '.join(PARTS)}"
        raise DataError(f"{source} is not a COCO file: {what}")
    try:
        rows = _by_id(data["images"], "file_name", f"{source}: images")
        names = {
            key: str(row["name"]) for key, row in _by_id(data["categories"], "name", f"{source}: categories").items()
        }
        annotations: dict[Any, list[Annotation]] = {key: [] for key in rows}
        for note in data["annotations"]:
            location = f"{source}: annotation {note.get('id')}"
            for key, known in (("image_id", rows), ("category_id", names)):
                if note.get(key) not in known:
                    raise DataError(f"{location}: there is no {key} {note.get(key)!r}")
            location += f" of {rows[note['image_id']]['file_name']}"
            annotations[note["image_id"]].append(read_annotation(note, names[note["category_id"]], location))
        return [
            AnnotatedImage(
                finder.find(str(row["file_name"])),
                annotations[key],
                _coco_size(row, source),
                group=str(row.get("group", "")),
                source=str(row.get("source", "")),
            )
            for key, row in rows.items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{source} is not a COCO file: {explain_error(error)}") from error


def _by_id(rows: Iterable[dict[str, Any]], name: str, location: str) -> dict[Any, dict[str, Any]]:
    """Rows by their id. Raises DataError when one has none, or two share one: their boxes would be mixed up."""
    by_id: dict[Any, dict[str, Any]] = {}
    for row in rows:
        key = row.get("id")
        if key is None:
            raise DataError(f"{location}: {row.get(name)!r} has no id; which boxes are its own is lost: export again")
        if key in by_id:
            raise DataError(f"{location}: {by_id[key].get(name)!r} and {row.get(name)!r} have the same id {key!r}")
        if row.get(name) in (None, ""):
            raise DataError(f"{location}: the one with the id {key!r} has no {name}")
        by_id[key] = row
    return by_id


def read_annotation(note: dict[str, Any], label: str, location: str) -> Annotation:
    """An annotation of COCO. `location` names it in errors."""
    ignore = is_ignored(note, note.get("attributes"))
    mask = int(note["mask"]) if note.get("mask") in (0, 1) else -1  # other tools store outlines there
    return box_or_problem(label, location, ignore, lambda: _annotation_bounds(note, location))._replace(mask_state=mask)


def _annotation_bounds(note: dict[str, Any], location: str) -> Bounds:
    """The box of an annotation, or around its outline. Raises DataError when it has neither."""
    values = note.get("bbox")
    if values:
        if len(values) != 4:
            raise DataError(f"{location}: bbox is {values}, not x, y, width, height")
        x, y, w, h = parse_finite_numbers(values, location)
        attributes = note.get("attributes")
        rotation = attributes.get("rotation") if isinstance(attributes, dict) else None  # of CVAT
        (degrees,) = parse_finite_numbers([rotation or 0], location)
        return rotated_bounds((x, y, x + w, y + h), degrees)
    outline = note.get("segmentation")
    if isinstance(outline, dict):
        bounds = mask_bounds(outline)
    else:
        polygons = outline if outline and isinstance(outline[0], list) else [outline or []]
        numbers = parse_finite_numbers(list(chain.from_iterable(polygons)), location)
        bounds = points_bounds(numbers[::2], numbers[1::2]) if len(numbers) >= 4 else None
    if not bounds:
        raise DataError(f"{location} has neither a bbox nor an outline")
    return bounds


def _coco_size(row: dict[str, Any], source: Path) -> tuple[int, int] | None:
    if not row.get("height") or not row.get("width"):
        return None
    return require_positive_size((int(row["height"]), int(row["width"])), f"{source}: {row['file_name']}")


def coco_split(path: Path) -> str:
    """The split of a COCO file by its name, or by that of its folder; "train" where neither names one."""
    return parse_split_of_file(path) or "train"


def import_images_hint(source: Path) -> str:
    """The end of an error about images that a COCO file names and that are not there."""
    return f"; find them by their names: pocketsight data import {source} --images DIR -o NEW.json"
