"""Lists the files of a data set, valid or not. Unlike the readers for training, it does not stop at an error."""

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

# Longer side in px of the detector's input: smaller boxes may match no cell of its grids.
MIN_FACE_PX = 8
FULL_IMAGE_SHARE = 0.98  # of the image's area: a box from this size on covers the whole image


@dataclass(frozen=True)
class ScannedImage(AnnotatedImage):
    """One image of a data set, with unchecked annotations."""

    split: str = ""  # train, val or test; empty when the data is not split
    class_name: str = ""  # in a data set of class folders
    label_file: Path | None = None


@dataclass(frozen=True)
class DatasetScan:
    """A data set. `layout` is "coco", "labelme", "classes" (class folders) or "images" (one folder of images)."""

    root: Path
    layout: str
    images: list[ScannedImage]
    orphan_labels: list[Path] = field(default_factory=list)  # label files without an image
    unreadable_labels: dict[Path, str] = field(default_factory=dict)  # image -> error of its label file
    missing_images: list[Path] = field(default_factory=list)  # named by a label file, but do not exist
    unclassified: list[Path] = field(default_factory=list)  # images outside the class folders

    def relative_path(self, image: ScannedImage) -> Path:
        """The path of an image below images/, its class folder, or the folder of its COCO file."""
        if self.layout == "coco":
            return Path(os.path.relpath(image.path, self.root.parent))
        folder = {"labelme": "images", "classes": image.class_name}.get(self.layout, ".")
        return image.path.relative_to(self.root / image.split / folder)


def scan_datasets(paths: Sequence[Path]) -> DatasetScan:
    """Scan one data set, or several COCO files as its splits. Raises DataError when nothing can be scanned."""
    if len(paths) == 1:
        return scan_dataset(paths[0])
    if other := [path for path in paths if path.suffix != ".json"]:
        raise DataError(f"{other[0]} is not a COCO file; only COCO files can be checked together")
    scans = [scan_dataset(path) for path in paths]
    return DatasetScan(
        paths[0],
        "coco",
        [image for scan in scans for image in scan.images],
        missing_images=[path for scan in scans for path in scan.missing_images],
    )


def scan_dataset(data: Path) -> DatasetScan:
    """Scan a COCO file, labelme folders, class folders or a folder of images. Raises DataError if there is no image."""
    if data.suffix == ".json":
        return _scan_coco(data)
    if not data.is_dir():
        raise DataError(f"{data} is neither a folder nor a COCO .json file")
    trees = [(split, data / split) for split in SPLITS if (data / split).is_dir()]
    if any((tree / "images").is_dir() for _, tree in [("", data), *trees]):
        return _scan_labelme(data, [("", data), *trees])
    scan = _scan_classes(data, trees)
    if not scan.images:
        scan = DatasetScan(data, "images", [ScannedImage(path) for path in list_images(data)])
    if not scan.images:
        raise DataError(f"{data} has no images; expected images/ and labels/, or one folder for each class")
    return scan


def _scan_classes(data: Path, split_folders: list[tuple[str, Path]]) -> DatasetScan:
    """Class folders within the splits, and those next to them: images that were added after a split."""
    scan = DatasetScan(data, "classes", [])
    for split, tree in [*split_folders, ("", data)]:
        for folder in list_subfolders(tree):
            if split or folder.name not in SPLITS:
                paths = list_images(folder)
                scan.images.extend(ScannedImage(path, split=split, class_name=folder.name) for path in paths)
        loose = (path for path in sorted(tree.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
        scan.unclassified.extend(loose)
    return scan


def _scan_labelme(data: Path, split_folders: list[tuple[str, Path]]) -> DatasetScan:
    scan = DatasetScan(data, "labelme", [])
    for split, tree in split_folders:
        files = {p.relative_to(tree / "labels").with_suffix(""): p for p in sorted((tree / "labels").rglob("*.json"))}
        for path in list_images(tree / "images") if (tree / "images").is_dir() else []:
            file = files.pop(path.relative_to(tree / "images").with_suffix(""), None)
            image = AnnotatedImage(path)
            try:
                image = read_labelme_image(path, file)
            except DataError as error:
                scan.unreadable_labels[path] = str(error)
            scan.images.append(ScannedImage(path, image.annotations, image.size, split=split, label_file=file))
        scan.orphan_labels.extend(files.values())
    if not scan.images:
        raise DataError(f"{data} has a folder images/ without an image in it")
    return scan


def _scan_coco(data: Path) -> DatasetScan:
    scan = DatasetScan(data, "coco", [])
    for image in read_coco(data, data.parent):
        if not image.path.is_file():
            scan.missing_images.append(image.path)
            continue
        path = Path(os.path.normpath(image.path))  # one name for one file, in all COCO files
        scan.images.append(
            ScannedImage(path, image.annotations, image.size, image.group, split=coco_split(data), label_file=data)
        )
    if not scan.images:
        raise DataError(f"{data} lists no image that exists")
    return scan


def box_issues(image: ScannedImage, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """(issue type, detail) of each invalid box. `size` is (height, width) of the image file in px."""
    height, width = size
    if image.annotations and image.size and image.size != size:
        yield "wrong size", f"image {width}x{height}, labels for {image.size[1]}x{image.size[0]}"
        return
    for annotation in image.annotations:
        left, top, right, bottom = annotation.box
        place = annotation.location.rpartition(": ")[2]  # the report names the file already
        detail = f"{place}: {', '.join(f'{side:g}' for side in annotation.box)}"
        if not all(map(math.isfinite, annotation.box)) or right == left or bottom == top:
            yield "empty box", detail
        elif right < left or bottom < top:
            yield "flipped box", detail
        elif left < -1 or top < -1 or right > width + 1 or bottom > height + 1:  # tools count pixels from 0 or 1
            yield "box outside", f"{detail} in an image of {width}x{height}"
        elif annotation.ignore:
            continue
        elif (right - left) * (bottom - top) >= FULL_IMAGE_SHARE * width * height:
            yield "box covers all", detail
        elif (side := longer_side_in_input(annotation.box, size)) < MIN_FACE_PX:
            yield "tiny box", f"{detail}; {side:.1f} px in the detector's input"


def longer_side_in_input(box: tuple[float, float, float, float], size: tuple[int, int]) -> float:
    """The longer side of a box in px of the default detector's input. `size` is (height, width) of the image in px."""
    scale = min(DETECTOR_RECIPE.input_size[0] / size[0], DETECTOR_RECIPE.input_size[1] / size[1])
    return max(abs(box[2] - box[0]), abs(box[3] - box[1])) * scale


def relative_name(path: Path, root: Path) -> str:
    """The path below the data set's folder, or the file name of a path outside it."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name
