"""What lies in a data set, good or bad: unlike the readers that training uses, nothing here stops at a fault."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.device.errors import DataError
from edgekit.device.image import pictures
from edgekit.train.expressions import PARTS
from edgekit.train.faces import coco_part, corners
from edgekit.train.recipe import DETECTOR

SMALLEST = 8  # px of the detector's input: the longer side of the smallest box that is sure of a cell


@dataclass(frozen=True)
class Label:
    """One box as its file has it, right or wrong."""

    name: str
    box: tuple[float, float, float, float]  # left, top, right, bottom in pixels of the file
    where: str  # its place in the file
    ignore: bool = False  # neither face nor background


@dataclass(frozen=True)
class Item:
    """One picture with what is said of it."""

    path: Path
    part: str = ""  # train, val or test; empty where the data is not split
    kind: str = ""  # its class, in a data set of class folders
    file: Path | None = None  # its labels
    labels: tuple[Label, ...] = ()
    size: tuple[int, int] | None = None  # height, width that the labels speak of
    group: str = ""  # pictures of one group belong together

    @property
    def faces(self) -> list[Label]:
        """The labels that are not to be ignored."""
        return [label for label in self.labels if not label.ignore]


@dataclass(frozen=True)
class Survey:
    """A data set; `layout` is "coco", "labelme", "classes" or "pictures"."""

    root: Path
    layout: str
    items: list[Item]
    strays: list[Path] = field(default_factory=list)  # label files without a picture
    unread: dict[Path, str] = field(default_factory=dict)  # label files that are none, and why
    missing: list[Path] = field(default_factory=list)  # pictures that a label file names and that are not there


def survey_all(paths: Sequence[Path]) -> Survey:
    """Look through one data set, or several COCO files as its parts. Raises DataError."""
    if len(paths) == 1:
        return survey(paths[0])
    if other := [path for path in paths if path.suffix != ".json"]:
        raise DataError(f"{other[0]} is no COCO file; only COCO files can be looked at together")
    parts = [survey(path) for path in paths]
    return Survey(
        paths[0], "coco", [item for part in parts for item in part.items],
        missing=[path for part in parts for path in part.missing],
    )  # fmt: skip


def survey(data: Path) -> Survey:
    """Look through a COCO file, labelme's folders, class folders or a folder of pictures. Raises DataError."""
    if data.suffix == ".json":
        return _coco(data)
    if not data.is_dir():
        raise DataError(f"{data} is neither a folder nor a COCO .json file")
    trees = [(part, data / part) for part in PARTS if (data / part).is_dir()]
    if any((tree / "images").is_dir() for _, tree in [("", data), *trees]):
        return _labelme(data, [("", data), *trees])
    found = Survey(data, "classes", [])
    for part, tree in trees or [("", data)]:
        found.items.extend(Item(path, part, folder.name) for folder in folders(tree) for path in pictures(folder))
    if trees:  # what came after a split
        extra = [folder for folder in folders(data) if folder.name not in PARTS]
        found.items.extend(Item(path, "", folder.name) for folder in extra for path in pictures(folder))
    if not found.items:
        found = Survey(data, "pictures", [Item(path) for path in pictures(data)])
    if not found.items:
        raise DataError(f"{data} holds no pictures; expected images/ and labels/, or a folder for each class")
    return found


def folders(tree: Path) -> list[Path]:
    """The folders in a folder, by name, hidden ones left out."""
    return sorted(path for path in tree.iterdir() if path.is_dir() and not path.name.startswith("."))


def _labelme(data: Path, trees: list[tuple[str, Path]]) -> Survey:
    found = Survey(data, "labelme", [])
    for part, tree in trees:
        files = {p.relative_to(tree / "labels").with_suffix(""): p for p in sorted((tree / "labels").rglob("*.json"))}
        for path in pictures(tree / "images") if (tree / "images").is_dir() else []:
            file = files.pop(path.relative_to(tree / "images").with_suffix(""), None)
            if file is None:
                found.items.append(Item(path, part))
                continue
            try:
                labels, size = read_labelme(file)
            except DataError as error:
                found.unread[file] = str(error)
                labels, size = (), None
            found.items.append(Item(path, part, file=file, labels=labels, size=size))
        found.strays.extend(files.values())
    if not found.items:
        raise DataError(f"{data} has a folder images/ without a picture in it")
    return found


def read_labelme(file: Path) -> tuple[tuple[Label, ...], tuple[int, int]]:
    """The boxes of one labelme file, and height and width of its picture. Raises DataError when it is none."""
    try:
        note = json.loads(file.read_text())
        size = int(note["imageHeight"]), int(note["imageWidth"])
        labels = []
        for number, shape in enumerate(note["shapes"]):
            where = f"shape {number}"
            left, top, right, bottom = corners(shape, f"{file}: {where}")
            labels.append(Label(str(shape["label"]), (left, top, right, bottom), where))
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{file} is not a labelme file: {error!r}") from error
    return tuple(labels), size


def _coco(data: Path) -> Survey:
    found = Survey(data, "coco", [])
    try:
        facts = json.loads(data.read_text())
        names = {row["id"]: str(row["name"]) for row in facts["categories"]}
        labels: dict[Any, list[Label]] = {row["id"]: [] for row in facts["images"]}
        for note in facts["annotations"]:
            labels[note["image_id"]].append(_coco_label(note, names))
        for row in facts["images"]:
            path = data.parent / str(row["file_name"])
            size = int(row["height"]), int(row["width"])
            item = Item(path, coco_part(data), "", data, tuple(labels[row["id"]]), size, str(row.get("group", "")))
            if path.is_file():
                found.items.append(item)
            else:
                found.missing.append(path)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{data} is not a COCO file: {error!r}; it needs images, annotations and categories") from error
    if not found.items:
        raise DataError(f"{data} lists no picture that exists")
    return found


def _coco_label(note: dict[str, Any], names: dict[Any, str]) -> Label:
    x, y, width, height = map(float, note["bbox"])
    box, where = (x, y, x + width, y + height), f"annotation {note.get('id')}"
    return Label(names[note["category_id"]], box, where, bool(note.get("iscrowd")))


def wrongs(item: Item, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """Faults of an item's boxes, as (kind, what is wrong); `size` is the picture's height and width."""
    height, width = size
    if item.labels and item.size and item.size != size:
        yield "wrong size", f"it is {width}x{height}, its labels are for {item.size[1]}x{item.size[0]}"
        return
    for label in item.labels:
        left, top, right, bottom = label.box
        at = f"{label.where}: {', '.join(f'{side:g}' for side in label.box)}"
        if not all(map(math.isfinite, label.box)) or right == left or bottom == top:
            yield "empty box", at
        elif right < left or bottom < top:
            yield "flipped box", at
        elif left < -1 or top < -1 or right > width + 1 or bottom > height + 1:  # a pixel is a matter of counting
            yield "box outside", f"{at} in a picture of {width}x{height}"
        elif label.ignore:
            continue
        elif (right - left) * (bottom - top) >= 0.98 * width * height:
            yield "box covers all", at
        elif (seen := in_input(label.box, size)) < SMALLEST:
            yield "tiny box", f"{at}; {seen:.1f} px in the detector's input"


def in_input(box: tuple[float, float, float, float], size: tuple[int, int]) -> float:
    """The longer side of a box, in px of the default detector's input; `size` is the picture's (height, width)."""
    scale = min(DETECTOR.size[0] / size[0], DETECTOR.size[1] / size[1])
    return max(abs(box[2] - box[0]), abs(box[3] - box[1])) * scale
