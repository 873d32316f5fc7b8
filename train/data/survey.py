"""What lies in a data set, good or bad: unlike the readers that training uses, nothing here stops at a fault."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.image import SUFFIXES, pictures
from pocketsight.train.data.labelled import Labelled
from pocketsight.train.data.readers import labelme_picture, read_coco
from pocketsight.train.expressions import PARTS, subfolders
from pocketsight.train.faces import coco_part
from pocketsight.train.recipe import DETECTOR

SMALLEST = 8  # px of the detector's input: the longer side of the smallest box that is sure of a cell


@dataclass(frozen=True)
class Item(Labelled):
    """One picture of a data set; its marks are as their file has them, right or wrong."""

    part: str = ""  # train, val or test; empty where the data is not split
    kind: str = ""  # its class, in a data set of class folders
    file: Path | None = None  # its labels


@dataclass(frozen=True)
class Survey:
    """A data set; `layout` is "coco", "labelme", "classes" or "pictures"."""

    root: Path
    layout: str
    items: list[Item]
    strays: list[Path] = field(default_factory=list)  # label files without a picture
    unread: dict[Path, str] = field(default_factory=dict)  # pictures whose label file cannot be used, and why
    missing: list[Path] = field(default_factory=list)  # pictures that a label file names and that are not there
    loose: list[Path] = field(default_factory=list)  # pictures that lie beside the class folders

    def inner(self, item: Item) -> Path:
        """Where a picture lies below images/, its class folder, or the folder of its COCO file."""
        if self.layout == "coco":
            return Path(os.path.relpath(item.path, self.root.parent))
        folder = {"labelme": "images", "classes": item.kind}.get(self.layout, ".")
        return item.path.relative_to(self.root / item.part / folder)


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
    found = _classes(data, trees)
    if not found.items:
        found = Survey(data, "pictures", [Item(path) for path in pictures(data)])
    if not found.items:
        raise DataError(f"{data} holds no pictures; expected images/ and labels/, or a folder for each class")
    return found


def _classes(data: Path, trees: list[tuple[str, Path]]) -> Survey:
    """Class folders within the parts, and those beside the parts: what came after a split."""
    found = Survey(data, "classes", [])
    for part, tree in [*trees, ("", data)]:
        for folder in subfolders(tree):
            if part or folder.name not in PARTS:
                found.items.extend(Item(path, part=part, kind=folder.name) for path in pictures(folder))
        found.loose.extend(p for p in sorted(tree.iterdir()) if p.suffix.lower() in SUFFIXES and p.is_file())
    return found


def _labelme(data: Path, trees: list[tuple[str, Path]]) -> Survey:
    found = Survey(data, "labelme", [])
    for part, tree in trees:
        files = {p.relative_to(tree / "labels").with_suffix(""): p for p in sorted((tree / "labels").rglob("*.json"))}
        for path in pictures(tree / "images") if (tree / "images").is_dir() else []:
            file = files.pop(path.relative_to(tree / "images").with_suffix(""), None)
            read = Labelled(path)
            try:
                read = labelme_picture(path, file)
            except DataError as error:
                found.unread[path] = str(error)
            found.items.append(Item(path, read.marks, read.size, part=part, file=file))
        found.strays.extend(files.values())
    if not found.items:
        raise DataError(f"{data} has a folder images/ without a picture in it")
    return found


def _coco(data: Path) -> Survey:
    found = Survey(data, "coco", [])
    for read in read_coco(data, data.parent):
        if read.path.is_file():
            path = Path(os.path.normpath(read.path))  # so that a picture has one name, whoever speaks of it
            found.items.append(Item(path, read.marks, read.size, read.group, part=coco_part(data), file=data))
        else:
            found.missing.append(read.path)
    if not found.items:
        raise DataError(f"{data} lists no picture that exists")
    return found


def wrongs(item: Item, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """Faults of an item's boxes, as (kind, what is wrong); `size` is the picture's height and width."""
    height, width = size
    if item.marks and item.size and item.size != size:
        yield "wrong size", f"it is {width}x{height}, its labels are for {item.size[1]}x{item.size[0]}"
        return
    for mark in item.marks:
        left, top, right, bottom = mark.box
        place = mark.where.rpartition(": ")[2]  # the file is named beside
        at = f"{place}: {', '.join(f'{side:g}' for side in mark.box)}"
        if not all(map(math.isfinite, mark.box)) or right == left or bottom == top:
            yield "empty box", at
        elif right < left or bottom < top:
            yield "flipped box", at
        elif left < -1 or top < -1 or right > width + 1 or bottom > height + 1:  # a pixel is a matter of counting
            yield "box outside", f"{at} in a picture of {width}x{height}"
        elif mark.ignore:
            continue
        elif (right - left) * (bottom - top) >= 0.98 * width * height:
            yield "box covers all", at
        elif (seen := in_input(mark.box, size)) < SMALLEST:
            yield "tiny box", f"{at}; {seen:.1f} px in the detector's input"


def in_input(box: tuple[float, float, float, float], size: tuple[int, int]) -> float:
    """The longer side of a box, in px of the default detector's input; `size` is the picture's (height, width)."""
    scale = min(DETECTOR.size[0] / size[0], DETECTOR.size[1] / size[1])
    return max(abs(box[2] - box[0]), abs(box[3] - box[1])) * scale
