"""Reader of Pascal VOC files, one XML file for each image: http://host.robots.ox.ac.uk/pascal/VOC/"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from math import degrees
from pathlib import Path
from xml.etree.ElementTree import Element

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import list_images
from pocketsight.device.vision.image_kinds import KNOWN_IMAGE_SUFFIXES
from pocketsight.train.console import log_message, log_unread_images, progress_bar
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, box_or_problem, parse_finite_numbers
from pocketsight.train.datasets.formats.image_finder import IMAGE_FOLDERS, LABEL_FOLDERS, ImageFinder, finder_near
from pocketsight.train.datasets.formats.layout import list_files, read_xml
from pocketsight.train.datasets.formats.shapes import Bounds, is_ignored, points_bounds, rotated_bounds
from pocketsight.train.datasets.splits import parse_split_name

STEM_SUFFIXES = ".jpg", *sorted(KNOWN_IMAGE_SUFFIXES)
CORNERS = "xmin", "ymin", "xmax", "ymax"
# Who counts pixels from 1: the VOC challenge itself, and supervision with Roboflow. All other tools count from 0.
COUNTS_FROM_1 = re.compile(r"\bVOC ?20\d\d\b|roboflow", re.IGNORECASE)


def read_voc(source: Path, images: Path | None, first_pixel: int | None = None) -> list[AnnotatedImage]:
    """The images of an .xml file or a folder of them. `images` is their folder; None: searched near the files.

    An image without a file has no object. `difficult` objects are boxes to ignore. `first_pixel` is the number of the
    first pixel, 0 or 1, and None: by who wrote each file. Counted from 1, the last pixel is included, as in the VOC
    development kit. Raises DataError, naming the object.
    """
    files = list_files(source, ".xml")
    places = {file.parent: (_label_root(file, source), _split_of(file)) for file in files}
    finders = {place: finder_near(place[0], images, place[1]) for place in set(places.values())}
    pairs = [_read_voc_file(file, finders[places[file.parent]]) for file in progress_bar(files)]
    if first_pixel is None:
        pairs = _settle_first_pixel(pairs)
    annotated = [
        _shift_boxes(image) if first_pixel == 1 or (first_pixel is None and is_from_1) else image
        for image, is_from_1 in pairs
    ]
    return annotated if source.is_file() else [*annotated, *_unlabeled_images(source, images, annotated)]


def _settle_first_pixel(pairs: list[tuple[AnnotatedImage, bool]]) -> list[tuple[AnnotatedImage, bool]]:
    """(image, whether it counts pixels from 1): none where a file that says so has a coordinate below 1. Logs it."""
    from_1 = [image for image, is_from_1 in pairs if is_from_1]
    if any(min(a.box[:2]) < 1 for image in from_1 for a in image.annotations if not a.problem):
        pairs, from_1 = [(image, False) for image, _ in pairs], []
    if from_1 and len(from_1) < len(pairs):
        log_message(
            f"Pascal VOC: pixels are counted from 1 in {len(from_1)} of {len(pairs)} files, from 0 in the others, by "
            "who wrote them; if that is wrong: --first-pixel 0 or 1, for all files"
        )
    else:
        first = 1 if from_1 else 0
        other = f"if that is wrong: --first-pixel {1 - first}"
        log_message(f"Pascal VOC: pixels are counted from {first}, by who wrote the files; {other}")
    return pairs


def _shift_boxes(image: AnnotatedImage) -> AnnotatedImage:
    notes = [a._replace(box=(a.box[0] - 1, a.box[1] - 1, a.box[2], a.box[3])) for a in image.annotations]
    return AnnotatedImage(image.path, notes, image.size)


def _label_root(file: Path, source: Path) -> Path:
    """The folder of all labels: images may be in the same subfolders elsewhere."""
    named = next((folder for folder in file.parents if folder.name in LABEL_FOLDERS), None)
    return named or (source if source.is_dir() else file.parent)


def _split_of(file: Path) -> str:
    return next((split for folder in file.parents if (split := parse_split_name(folder.name))), "")


def _unlabeled_images(source: Path, images: Path | None, labeled: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """The images without a file in the folder of the images: tools write none for an image without an object."""
    folders = [images] if images else [source / name for name in IMAGE_FOLDERS]
    if not images and (labels := next((p for p in (source, *source.parents) if p.name in LABEL_FOLDERS), None)):
        folders += [labels.parent / name / source.relative_to(labels) for name in IMAGE_FOLDERS]
    found = [folder for folder in folders if folder.is_dir()] or [source]
    for folder in found:
        log_unread_images(folder)
    known = {os.path.abspath(image.path) for image in labeled}
    paths = dict.fromkeys(path for folder in found for path in list_images(folder))
    return [AnnotatedImage(path) for path in paths if os.path.abspath(path) not in known]


def _read_voc_file(file: Path, finder: ImageFinder) -> tuple[AnnotatedImage, bool]:
    """The image, and whether the file says that it is of those who count pixels from 1."""
    root = read_xml(file)
    if root.tag != "annotation":
        raise DataError(f"{file} is not Pascal VOC: its root is <{root.tag}>, not <annotation>")
    if root.find("object/polygon/pt") is not None:
        raise DataError(f"{file} is the XML of LabelMe, the web tool, not Pascal VOC; export it as COCO or CVAT 1.1")
    name = (root.findtext("filename") or "").strip()
    own = [str(file.parent.absolute() / name), name] if name else []  # next to the file, or elsewhere
    path = finder.find(*own, *(file.stem + suffix for suffix in STEM_SUFFIXES))
    sides = [root.findtext(f"size/{side}") or 0 for side in ("height", "width")]
    size = parse_finite_numbers(sides, f"{file}: its size")
    annotations = [_read_object(item, f"{file}: object {n}") for n, item in enumerate(root.findall("object"), 1)]
    known_size = (int(size[0]), int(size[1])) if min(size) >= 1 else None  # some tools write 0
    origins = (root.findtext(f"source/{tag}") or "" for tag in ("database", "annotation"))
    return AnnotatedImage(path, annotations, known_size), any(COUNTS_FROM_1.search(text) for text in origins)


def _read_object(item: Element, location: str) -> Annotation:
    label = (item.findtext("name") or "").strip()
    if not label:
        raise DataError(f"{location} has no <name>")
    flags = {child.tag: child.text or "" for child in item if not len(child)}
    attributes = {row.findtext("name") or "": row.findtext("value") or "" for row in item.iter("attribute")}
    ignore = is_ignored(flags, attributes)
    return box_or_problem(label, location, ignore, lambda: _object_bounds(item, attributes, location))


def _object_bounds(item: Element, attributes: dict[str, str], location: str) -> Bounds:
    """The box of <bndbox>, also turned by the attribute `rotation` of CVAT, or around <robndbox> or <polygon>."""
    if (turned := item.find("robndbox")) is not None:
        values = [turned.findtext(tag) for tag in ("cx", "cy", "w", "h", "angle")]
        cx, cy, w, h, angle = parse_finite_numbers(values, f"{location}: <robndbox>")
        return rotated_bounds((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), degrees(angle))
    if item.find("bndbox") is None and (outline := item.find("polygon")) is not None:
        numbers = {axis: [c.text for c in outline if c.tag.lower().startswith(axis)] for axis in ("x", "y")}
        xs, ys = (parse_finite_numbers(numbers[axis], f"{location}: <polygon>") for axis in ("x", "y"))
        return points_bounds(xs, ys)
    if missing := [side for side in CORNERS if not item.findtext(f"bndbox/{side}")]:
        raise DataError(f"{location}: <bndbox> has no <{missing[0]}>")
    corners = [item.findtext(f"bndbox/{side}") for side in CORNERS]
    left, top, right, bottom = parse_finite_numbers(corners, f"{location}: <bndbox>")
    (rotation,) = parse_finite_numbers([attributes.get("rotation") or 0], location)
    return rotated_bounds((left, top, right, bottom), rotation)
