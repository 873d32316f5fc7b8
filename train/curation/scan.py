"""Lists the files of a data set, valid or not. Unlike the readers for training, it does not stop at an error."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.vision.box_encoding import boxes_without_cell
from pocketsight.device.vision.image import list_images
from pocketsight.device.vision.image_kinds import describe_unread, list_unread_images, readable_suffixes
from pocketsight.train.datasets.formats.base import FIRST_TRANSPOSED, AnnotatedImage, read_orientation
from pocketsight.train.datasets.formats.coco import coco_split, import_images_hint, read_own_coco
from pocketsight.train.datasets.formats.detect import has_label_files, import_hint
from pocketsight.train.datasets.formats.labelme import read_labelme_image
from pocketsight.train.datasets.splits import list_class_folders, list_split_folders, require_no_inner_splits
from pocketsight.train.recipe import DETECTOR_RECIPE, DETECTOR_STRIDES

# Longer side in px of the detector's input: smaller boxes may match no cell of its grids.
MIN_FACE_PX = 8
FULL_IMAGE_SHARE = 0.98  # of the image's area: a box from this size on covers the whole image


@dataclass(frozen=True)
class ScannedImage(AnnotatedImage):
    """One image of a data set, with unchecked annotations."""

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
    unread_images: list[Path] = field(default_factory=list)  # of a kind that is not read, such as HEIC

    def relative_path(self, image: ScannedImage) -> Path:
        """The path of an image below images/, its class folder, or the folder of its COCO file."""
        if self.layout == "coco":
            return Path(os.path.relpath(image.path, self.root.parent))
        parts = image.path.relative_to(self.root).parts[1 if image.split else 0 :]
        return Path(*parts[0 if self.layout == "images" else 1 :])


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
        unread_images=[path for scan in scans for path in scan.unread_images],
    )


def scan_dataset(data: Path) -> DatasetScan:
    """Scan a COCO file, labelme folders, class folders or a folder of images. Raises DataError if there is no image."""
    if data.suffix == ".json":
        return _scan_coco(data)
    if not data.is_dir():
        raise DataError(f"{data} is neither a folder nor a COCO .json file")
    trees = [("", data), *list_split_folders(data)]
    if any((tree / "images").is_dir() for _, tree in trees):
        return _scan_labelme(data, trees)
    scan = _scan_classes(data, trees)
    if not scan.images:
        scan = DatasetScan(data, "images", [ScannedImage(path) for path in list_images(data)])
    scan.unread_images.extend(list_unread_images(data))
    is_classes = len({image.class_name for image in scan.images}) > 1 and not has_label_files(data)
    hint = "" if is_classes else import_hint(data)
    if hint:
        raise DataError(f"{data} is neither images/ and labels/ of labelme nor class folders{hint}")
    if not scan.images:
        kinds = f"; {describe_unread(scan.unread_images)}" if scan.unread_images else ""
        raise DataError(f"{data} has no images; expected images/ and labels/, or one folder for each class{kinds}")
    return scan


def _scan_classes(data: Path, trees: list[tuple[str, Path]]) -> DatasetScan:
    """Class folders within the splits, and those next to them: images that were added after a split."""
    scan = DatasetScan(data, "classes", [])
    for split, folder in list_class_folders(data):
        scan.images.extend(ScannedImage(p, split=split, class_name=folder.name) for p in list_images(folder))
    for _, tree in trees:
        scan.unclassified.extend(path for path in list_images(tree) if path.parent == tree)
    return scan


def _scan_labelme(data: Path, split_folders: list[tuple[str, Path]]) -> DatasetScan:
    scan = DatasetScan(data, "labelme", [])
    for split, tree in split_folders:
        files = {p.relative_to(tree / "labels").with_suffix(""): p for p in sorted((tree / "labels").rglob("*.json"))}
        require_no_inner_splits(tree / "images")
        scan.unread_images.extend(unread := list_unread_images(tree / "images"))
        for path in unread:  # their labels are no orphans
            files.pop(path.relative_to(tree / "images").with_suffix(""), None)
        for path in list_images(tree / "images"):
            file = files.pop(path.relative_to(tree / "images").with_suffix(""), None)
            image = AnnotatedImage(path)
            try:
                image = read_labelme_image(path, file)
            except DataError as error:
                scan.unreadable_labels[path] = str(error)
            scan.images.append(ScannedImage(path, image.annotations, image.size, split=split, label_file=file))
        scan.orphan_labels.extend(files.values())
    if not scan.images:
        kinds = f" that can be read; {describe_unread(scan.unread_images)}" if scan.unread_images else ""
        raise DataError(f"{data} has a folder images/ without an image in it{kinds}")
    has_labels = scan.orphan_labels or any(image.label_file for image in scan.images)
    if not has_labels and (hint := import_hint(data)):
        raise DataError(f"{data} has no labels of labelme{hint}")
    return scan


def _scan_coco(data: Path) -> DatasetScan:
    scan, split = DatasetScan(data, "coco", []), coco_split(data)
    for image in read_own_coco(data):
        if not image.path.is_file():
            scan.missing_images.append(image.path)
            continue
        path = Path(os.path.normpath(image.path))  # one name for one file, in all COCO files
        if path.suffix.lower() not in readable_suffixes():
            scan.unread_images.append(path)
            continue
        scan.images.append(ScannedImage(path, image.annotations, image.size, image.group, split=split, label_file=data))
    if not scan.images:
        if scan.unread_images:
            raise DataError(f"{data} has no image that can be read; {describe_unread(scan.unread_images)}")
        raise DataError(f"{data} lists no image that exists{import_images_hint(data)}")
    return scan


def box_issues(image: ScannedImage, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """(issue type, detail) of each invalid box. `size` is (height, width) of the image file in px."""
    height, width = size
    if image.annotations and image.size and image.size != size:
        if image.size == size[::-1] and read_orientation(image.path)[1] >= FIRST_TRANSPOSED:
            yield "size before rotation", f"image {width}x{height} upright, labels for {height}x{width}"
            return
        yield "wrong size", f"image {width}x{height}, labels for {image.size[1]}x{image.size[0]}"
        return
    for annotation in image.annotations:
        if annotation.problem:
            yield "unsupported shape", annotation.problem
            continue
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


def uncovered_boxes(image: AnnotatedImage, size: tuple[int, int]) -> int:
    """The number of boxes that no cell of the default detector learns. `size` is (height, width) of the image in px.

    Boxes below MIN_FACE_PX are left out: they have an issue of their own.
    """
    scale = min(DETECTOR_RECIPE.input_size[0] / size[0], DETECTOR_RECIPE.input_size[1] / size[1])
    boxes = [a.box for a in image.objects if longer_side_in_input(a.box, size) >= MIN_FACE_PX]
    clipped = np.clip(np.array(boxes, np.float32).reshape(-1, 4), 0, np.array(size[::-1] * 2, np.float32))
    scaled = clipped[(clipped[:, :2] < clipped[:, 2:]).all(1)] * np.float32(scale)  # the others are issues themselves
    return int(boxes_without_cell(scaled, DETECTOR_RECIPE.input_size, DETECTOR_STRIDES).sum())


def relative_name(path: Path, root: Path) -> str:
    """The path below the data set's folder, or the file name of a path outside it."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name
