"""Reader of Label Studio's own JSON and JSON-MIN: https://labelstud.io/guide/export"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image_kinds import is_image_name
from pocketsight.train.console import log_message
from pocketsight.train.datasets.formats.base import (
    NO_LABEL,
    AnnotatedImage,
    Annotation,
    box_or_problem,
    named_errors,
    parse_finite_numbers,
)
from pocketsight.train.datasets.formats.image_finder import clean_name, finder_near
from pocketsight.train.datasets.formats.layout import read_json
from pocketsight.train.datasets.formats.shapes import (
    Bounds,
    ellipse_bounds,
    is_ignored,
    points_bounds,
    rotated_bounds,
)

Region = dict[str, Any]
SKIPPED, PREDICTED = "that were skipped", "with predictions only; accept or correct them there"
AREAS = "brush", "ellipse", "polygon", "rectangle"  # types of regions


def read_label_studio(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of all tasks. Coordinates are percent of the upright image; a rectangle rotates about its top left.

    Of several annotations of a task the ground truth counts, else the last one. Tasks that were skipped, or have only
    predictions, are left out. `images` is the folder of the images; None: searched near the file. Raises DataError,
    naming the task.
    """
    tasks = read_json(source)
    tasks = [tasks] if isinstance(tasks, dict) else tasks
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise DataError(f"{source} is not Label Studio's JSON: it must be a list of tasks")
    finder, result = finder_near(source, images), []
    left_out: Counter[str] = Counter()
    for task in tasks:
        location = f"{source}: task {task.get('id', task.get('inner_id'))}"
        with named_errors(location):
            done = [note for note in task.get("annotations") or task.get("completions") or [] if isinstance(note, dict)]
            kept = [note for note in done if not note.get("was_cancelled")]
            if (done and not kept) or (not done and task.get("predictions")):
                left_out[SKIPPED if done else PREDICTED] += 1
                continue
            kept = [note for note in kept if note.get("ground_truth")] or kept
            regions = _merge_regions(kept[-1].get("result") or []) if kept else _minimal_regions(task)
            notes = [
                note for n, region in enumerate(regions) for note in _read_region(region, f"{location}: region {n}")
            ]
            result.append(AnnotatedImage(finder.find(_image_name(task, location)), notes, _find_size(regions)))
    for reason, count in left_out.items():
        log_message(f"left out: {count} tasks of Label Studio {reason}")
    return result


def _image_name(task: Region, location: str) -> str:
    """The name of the image of a task, in `data` or, in JSON-MIN, in the task itself."""
    data = task.get("data") if isinstance(task.get("data"), dict) else task
    assert data is not None
    texts = [value for value in data.values() if isinstance(value, str)]
    name = next((text for text in texts if is_image_name(clean_name(text))), None)
    if name is None:
        raise DataError(f"{location} names no image")
    return name


def _merge_regions(results: Iterable[Region]) -> list[Region]:
    """One region for each id: its shape and its labels may be two results."""
    merged: dict[Any, Region] = {}
    for number, result in enumerate(results):
        if isinstance(result, dict) and isinstance(result.get("value"), dict):
            key = result.get("id", f"number {number}")
            known = merged.setdefault(key, {})
            merged[key] = {**known, **result, "value": {**known.get("value", {}), **result["value"]}}
    return list(merged.values())


def _minimal_regions(task: Region) -> list[Region]:
    """The regions of a task of JSON-MIN: lists of values that hold the size too."""
    lists = [value for value in task.values() if isinstance(value, list)]
    rows = [row for values in lists for row in values if isinstance(row, dict) and "original_width" in row]
    return [{**row, "value": row} for row in rows]


def _find_size(regions: Iterable[Region]) -> tuple[int, int] | None:
    """Height and width of the image as the browser showed it."""
    for region in regions:
        height, width = region.get("original_height"), region.get("original_width")
        if height and width:
            return int(height), int(width)
    return None


def _read_region(region: Region, location: str) -> list[Annotation]:
    """One annotation for each label of a region; NO_LABEL for a shape without one; none for answers without a shape."""
    value = region["value"]
    labels = next((v for k, v in value.items() if k.endswith("labels") and isinstance(v, list)), [])
    if not labels and str(region.get("type")).removesuffix("labels") in AREAS:
        labels = [NO_LABEL]
    ignore = is_ignored(region.get("meta"), *({label: 1} for label in labels))
    return [box_or_problem(str(label), location, ignore, lambda: _region_bounds(region, location)) for label in labels]


def _region_bounds(region: Region, location: str) -> Bounds:
    value = region["value"]
    width, height = parse_finite_numbers([region.get("original_width"), region.get("original_height")], location)

    def pixels(*keys: str) -> list[float]:
        sides = [height if key in ("y", "height", "radiusY") else width for key in keys]
        numbers = parse_finite_numbers([value.get(key) for key in keys], location)
        return [number * side / 100 for number, side in zip(numbers, sides, strict=True)]

    rotation = parse_finite_numbers([value.get("rotation") or 0], location)[0]
    if "points" in value:
        points = [parse_finite_numbers(point, location) for point in value["points"]]
        return points_bounds([x * width / 100 for x, _ in points], [y * height / 100 for _, y in points])
    if "radiusX" in value:
        x, y, radius_x, radius_y = pixels("x", "y", "radiusX", "radiusY")
        return ellipse_bounds(x, y, radius_x, radius_y, rotation)
    if "height" in value and "x" in value:
        x, y, w, h = pixels("x", "y", "width", "height")
        return rotated_bounds((x, y, x + w, y + h), rotation, pivot=(x, y))
    raise DataError(f"{location} is a {region.get('type')}; draw a rectangle around the object")
