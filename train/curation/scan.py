"""What lies in a data set, good or bad: unlike the readers that training uses, nothing here stops at a fault."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import IMAGE_SUFFIXES, list_images
from pocketsight.train.datasets.classification import list_subfolders
from pocketsight.train.datasets.formats.base import AnnotatedImage
from pocketsight.train.datasets.formats.coco import coco_split, read_coco
from pocketsight.train.datasets.formats.labelme import read_labelme_image
from pocketsight.train.datasets.splits import SPLITS
from pocketsight.train.recipe import DETECTOR_RECIPE

MIN_FACE_PX = 8  # px of the detector's input: the longer side of the smallest box that is sure of a cell


@dataclass(frozen=True)
class ScannedImage(AnnotatedImage):
    """One picture of a data set; its marks are as their file has them, right or wrong."""

    split: str = ""  # train, val or test; empty where the data is not split
    class_name: str = ""  # its class, in a data set of class folders
    label_file: Path | None = None  # its labels


@dataclass(frozen=True)
class DatasetScan:
    """A data set; `layout` is "coco", "labelme", "classes" or "pictures"."""

    root: Path
    layout: str
    images: list[ScannedImage]
    orphan_labels: list[Path] = field(default_factory=list)  # label files without a picture
    unreadable_labels: dict[Path, str] = field(
        default_factory=dict
    )  # pictures whose label file cannot be used, and why
    missing_images: list[Path] = field(default_factory=list)  # pictures that a label file names and that are not there
    unclassified: list[Path] = field(default_factory=list)  # pictures that lie beside the class folders

    def relative_path(self, image: ScannedImage) -> Path:
        """Where a picture lies below images/, its class folder, or the folder of its COCO file."""
        if self.layout == "coco":
            return Path(os.path.relpath(image.path, self.root.parent))
        folder = {"labelme": "images", "classes": image.class_name}.get(self.layout, ".")
        return image.path.relative_to(self.root / image.split / folder)


def scan_datasets(paths: Sequence[Path]) -> DatasetScan:
    """Look through one data set, or several COCO files as its parts. Raises DataError."""
    if len(paths) == 1:
        return scan_dataset(paths[0])
    if other := [path for path in paths if path.suffix != ".json"]:
        raise DataError(f"{other[0]} is no COCO file; only COCO files can be looked at together")
    parts = [scan_dataset(path) for path in paths]
    return DatasetScan(
        paths[0],
        "coco",
        [item for part in parts for item in part.images],
        missing_images=[path for part in parts for path in part.missing_images],
    )


def scan_dataset(data: Path) -> DatasetScan:
    """Look through a COCO file, labelme's folders, class folders or a folder of pictures. Raises DataError."""
    if data.suffix == ".json":
        return _scan_coco(data)
    if not data.is_dir():
        raise DataError(f"{data} is neither a folder nor a COCO .json file")
    trees = [(part, data / part) for part in SPLITS if (data / part).is_dir()]
    if any((tree / "images").is_dir() for _, tree in [("", data), *trees]):
        return _scan_labelme(data, [("", data), *trees])
    found = _scan_classes(data, trees)
    if not found.images:
        found = DatasetScan(data, "pictures", [ScannedImage(path) for path in list_images(data)])
    if not found.images:
        raise DataError(f"{data} holds no pictures; expected images/ and labels/, or a folder for each class")
    return found


def _scan_classes(data: Path, split_folders: list[tuple[str, Path]]) -> DatasetScan:
    """Class folders within the parts, and those beside the parts: what came after a split."""
    found = DatasetScan(data, "classes", [])
    for part, tree in [*split_folders, ("", data)]:
        for folder in list_subfolders(tree):
            if part or folder.name not in SPLITS:
                found.images.extend(
                    ScannedImage(path, split=part, class_name=folder.name) for path in list_images(folder)
                )
        found.unclassified.extend(
            p for p in sorted(tree.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()
        )
    return found


def _scan_labelme(data: Path, split_folders: list[tuple[str, Path]]) -> DatasetScan:
    found = DatasetScan(data, "labelme", [])
    for part, tree in split_folders:
        files = {p.relative_to(tree / "labels").with_suffix(""): p for p in sorted((tree / "labels").rglob("*.json"))}
        for path in list_images(tree / "images") if (tree / "images").is_dir() else []:
            file = files.pop(path.relative_to(tree / "images").with_suffix(""), None)
            read = AnnotatedImage(path)
            try:
                read = read_labelme_image(path, file)
            except DataError as error:
                found.unreadable_labels[path] = str(error)
            found.images.append(ScannedImage(path, read.annotations, read.size, split=part, label_file=file))
        found.orphan_labels.extend(files.values())
    if not found.images:
        raise DataError(f"{data} has a folder images/ without a picture in it")
    return found


def _scan_coco(data: Path) -> DatasetScan:
    found = DatasetScan(data, "coco", [])
    for read in read_coco(data, data.parent):
        if read.path.is_file():
            path = Path(os.path.normpath(read.path))  # so that a picture has one name, whoever speaks of it
            found.images.append(
                ScannedImage(path, read.annotations, read.size, read.group, split=coco_split(data), label_file=data)
            )
        else:
            found.missing_images.append(read.path)
    if not found.images:
        raise DataError(f"{data} lists no picture that exists")
    return found


def box_issues(image: ScannedImage, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """Faults of an item's boxes, as (kind, what is wrong); `size` is the picture's height and width."""
    height, width = size
    if image.annotations and image.size and image.size != size:
        yield "wrong size", f"it is {width}x{height}, its labels are for {image.size[1]}x{image.size[0]}"
        return
    for mark in image.annotations:
        left, top, right, bottom = mark.box
        place = mark.location.rpartition(": ")[2]  # the file is named beside
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
        elif (seen := longer_side_in_input(mark.box, size)) < MIN_FACE_PX:
            yield "tiny box", f"{at}; {seen:.1f} px in the detector's input"


def longer_side_in_input(box: tuple[float, float, float, float], size: tuple[int, int]) -> float:
    """The longer side of a box, in px of the default detector's input; `size` is the picture's (height, width)."""
    scale = min(DETECTOR_RECIPE.input_size[0] / size[0], DETECTOR_RECIPE.input_size[1] / size[1])
    return max(abs(box[2] - box[0]), abs(box[3] - box[1])) * scale


def relative_name(path: Path, root: Path) -> str:
    """A path below the data set's folder."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name
