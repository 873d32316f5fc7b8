"""Reader of COCO files: https://cocodataset.org/#format-data"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.formats.base import (
    AnnotatedImage,
    Annotation,
    parse_finite_numbers,
    require_positive_size,
)
from pocketsight.train.datasets.formats.layout import find_image, read_json


def read_coco(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of a COCO file, in its order. `images` is their folder; None: searched near the file.

    Annotations with `iscrowd` or `ignore` are boxes to ignore. Extensions of pocketsight: `group` and `source` of an
    image, `mask` (0 or 1) of a face. Raises DataError, naming the annotation.
    """
    data = read_json(source)
    folders = [images] if images else [source.parent, source.parent / "images", source.parent.parent / "images"]
    try:
        rows = {row["id"]: row for row in data["images"]}
        if len(rows) < len(data["images"]):
            raise DataError(f"{source} gives several images the same id")
        names = {row["id"]: str(row["name"]) for row in data["categories"]}
        annotations: dict[Any, list[Annotation]] = {key: [] for key in rows}
        for note in data["annotations"]:
            location = f"{source}: annotation {note.get('id')}"
            for key, known in (("image_id", rows), ("category_id", names)):
                if note[key] not in known:
                    raise DataError(f"{location}: there is no {key} {note[key]!r}")
            location += f" of {rows[note['image_id']]['file_name']}"
            x, y, w, h = parse_finite_numbers(note["bbox"], location)
            ignore = bool(note.get("iscrowd") or note.get("ignore"))
            mask = note.get("mask") if note.get("mask") in (0, 1) else -1  # other tools store outlines there
            label = names[note["category_id"]]
            annotations[note["image_id"]].append(Annotation((x, y, x + w, y + h), label, location, ignore, mask))
        return [
            AnnotatedImage(
                find_image([str(row["file_name"])], folders),
                annotations[key],
                _coco_size(row, source),
                group=str(row.get("group", "")),
                source=str(row.get("source", "")),
            )
            for key, row in rows.items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{source} is not a COCO file: {error!r}; it needs images, annotations, categories") from error


def _coco_size(row: dict[str, Any], source: Path) -> tuple[int, int] | None:
    if not row.get("height") or not row.get("width"):
        return None
    return require_positive_size((int(row["height"]), int(row["width"])), f"{source}: {row['file_name']}")


def coco_split(path: Path) -> str:
    """The split of a COCO file by its name: "test" or "val" if the name contains that word, else "train"."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((name for name in ("test", "val") if name in words), "train")
