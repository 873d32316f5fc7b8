"""Readers of other formats: each gives what its source says, box by box, and names the place of what is wrong.

No library does it without loss: globox forgets `difficult` and `iscrowd` and does not name the box, supervision decodes
every picture and forgets `difficult`, pycocotools checks nothing; WIDER FACE's text is read by none of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml  # type: ignore[import-untyped,unused-ignore]

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import IMAGE_SUFFIXES
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, parse_finite_numbers, read_upright_size
from pocketsight.train.datasets.formats.layout import (
    SPLIT_FOLDERS,
    find_image,
    list_files,
    pair_images_with_labels,
    read_json,
    read_text,
)

BoxXyxy = tuple[float, float, float, float]
WIDER_FACE_COLUMNS = "x y w h blur expression illumination invalid occlusion pose"


def read_wider_face(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """WIDER FACE's `wider_face_*_bbx_gt.txt`: a path, a count, that many boxes; of count 0 one row of zeros, perhaps.

    `invalid` faces become regions to ignore. Raises DataError naming the line.
    """
    part = next((name for name in SPLIT_FOLDERS if name in source.stem.lower()), "train")
    near = source.parent / "images", source.parent.parent / f"WIDER_{part}" / "images", source.parent
    folders = [images] if images else [folder for folder in near if folder.is_dir()]
    rows = deque((n, line.strip()) for n, line in enumerate(read_text(source).splitlines(), 1) if line.strip())
    found = []
    while rows:
        number, name = rows.popleft()
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES:
            raise DataError(f"{source} line {number}: {name!r} is not the path of a picture; is the count above right?")
        at, count = rows.popleft() if rows else (number, "nothing")
        if not (count.isascii() and count.isdecimal()):
            raise DataError(f"{source} line {at}: {count!r} is not the number of faces in {name}")
        marks = [_read_face(source, rows, name) for _ in range(int(count))]
        if not marks and rows and set(rows[0][1].split()) == {"0"}:
            rows.popleft()
        found.append(AnnotatedImage(find_image([name], folders), marks))
    return found


def _read_face(source: Path, rows: deque[tuple[int, str]], name: str) -> Annotation:
    if not rows:
        raise DataError(f"{source} ends amid the faces of {name}; was it cut short?")
    number, row = rows.popleft()
    where, words = f"{source} line {number}", row.split()
    if len(words) not in (4, 10):
        raise DataError(f"{where}: {row!r} is not {WIDER_FACE_COLUMNS!r}")
    x, y, w, h, *flags = parse_finite_numbers(words, where)
    return Annotation((x, y, x + w, y + h), "face", where, ignore=bool(flags and flags[3]))


def read_voc(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """Pascal VOC: an .xml file or a folder of them. `difficult` objects become regions to ignore.

    Pixels count from 1 and the last one is within, as in the VOC development kit. Raises DataError naming the object.
    """
    found = list_files(source, ".xml")
    return [_read_voc_file(file, images) for file in progress_bar(found)]


def _read_voc_file(file: Path, images: Path | None) -> AnnotatedImage:
    root = _parse_xml(file)
    if root.tag != "annotation":
        raise DataError(f"{file} is not Pascal VOC: it is a <{root.tag}>, not an <annotation>")
    near = file.parent, file.parent.parent / "JPEGImages", file.parent.parent / "images"
    name = (root.findtext("filename") or "").strip()
    names = [*([name] if name else []), *(file.stem + suffix for suffix in (".jpg", *sorted(IMAGE_SUFFIXES)))]
    size = parse_finite_numbers(
        [root.findtext(f"size/{side}") or 0 for side in ("height", "width")], f"{file}: its size"
    )
    marks = []
    for number, item in enumerate(root.findall("object"), 1):
        where = f"{file}: object {number}"
        label = (item.findtext("name") or "").strip()
        if not label:
            raise DataError(f"{where} has no <name>")
        corners = [item.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
        left, top, right, bottom = parse_finite_numbers(corners, f"{where}: <bndbox>")
        difficult = (item.findtext("difficult") or "0").strip() not in ("0", "")
        marks.append(Annotation((left - 1, top - 1, right, bottom), label, where, difficult))
    known = (int(size[0]), int(size[1])) if min(size) >= 1 else None  # some tools write 0
    return AnnotatedImage(find_image(names, [images] if images else near), marks, known)


def _parse_xml(file: Path) -> ElementTree.Element:
    """The root of an XML file that defines no entities: those could fill the memory. Raises DataError."""
    try:
        data = file.read_bytes()
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\0" in data:  # a zero byte: UTF-16 would hide the others
            raise DataError(f"{file} is not Pascal VOC: it has a DOCTYPE or is not UTF-8")
        return ElementTree.fromstring(data)
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{file} cannot be read as XML: {error}") from error


def read_yolo(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """YOLO: a .txt file for each picture, rows of class, centre and size, or class and a polygon, in 0..1.

    A picture without a file has no object. Class names are in data.yaml, classes.txt or obj.names, there or above;
    without, a class is called by its number. Raises DataError naming the line.
    """
    names = _find_class_names(source)
    found = pair_images_with_labels(source, images, ".txt")
    return [_read_yolo_image(path, file, names) for path, file in progress_bar(found)]


def _read_yolo_image(path: Path, file: Path | None, names: dict[int, str]) -> AnnotatedImage:
    if not file or not path.is_file():
        return AnnotatedImage(path)
    size = read_upright_size(path)
    return AnnotatedImage(path, _parse_yolo_rows(file, size, names), size)


def _parse_yolo_rows(file: Path, size: tuple[int, int], names: dict[int, str]) -> list[Annotation]:
    marks = []
    for number, row in enumerate(read_text(file).splitlines(), 1):
        where, words = f"{file} line {number}", row.split()
        if not words:
            continue
        if len(words) != 5 and (len(words) < 7 or len(words) % 2 == 0):
            raise DataError(f"{where}: {row!r} is not 'class cx cy w h'")
        if not (words[0].isascii() and words[0].isdecimal()) or (names and int(words[0]) not in names):
            raise DataError(f"{where}: there is no class {words[0]!r}; there are {len(names) or 'only whole numbers'}")
        values = parse_finite_numbers(words[1:], where)
        if wrong := [value for value in values if not -0.01 <= value <= 1.01]:
            raise DataError(f"{where}: {wrong[0]:g} is not within 0..1; YOLO gives shares of the picture, not pixels")
        if len(values) == 4:
            cx, cy, w, h = values
            box = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
        else:
            box = min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
        height, width = size
        scaled = box[0] * width, box[1] * height, box[2] * width, box[3] * height
        marks.append(Annotation(scaled, names.get(int(words[0]), words[0]), where))
    return marks


def _find_class_names(source: Path) -> dict[int, str]:
    """Class names by number; none if no file has them."""
    for folder in (source, source.parent, source.parent.parent):
        for file in (folder / name for name in ("data.yaml", "classes.txt", "obj.names")):
            if file.is_file():
                return _read_class_names(file)
    return {}


def _read_class_names(file: Path) -> dict[int, str]:
    text = read_text(file)
    try:
        found = yaml.safe_load(text)["names"] if file.suffix == ".yaml" else text.split("\n")
        rows = found.items() if isinstance(found, dict) else enumerate(found)
        return {int(number): str(name).strip() for number, name in rows if str(name).strip()}
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} has no class names: {' '.join(str(error).split())}") from error


def read_labelme(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """labelme: a .json file for each picture, in labels/ or beside it. A picture without one has no object."""
    found = pair_images_with_labels(source, images, ".json")
    return [read_labelme_image(path, file) for path, file in progress_bar(found)]


def read_labelme_image(path: Path, file: Path | None) -> AnnotatedImage:
    """One picture and its file, or without. Raises DataError naming the shape."""
    if not file:
        return AnnotatedImage(path)
    note, marks = read_json(file), []
    try:
        size = int(note["imageHeight"]), int(note["imageWidth"])
        for number, shape in enumerate(note["shapes"]):
            where = f"{file}: shape {number}"
            marks.append(Annotation(_finite_box(_shape_bounds(shape, where), where), str(shape["label"]), where))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise DataError(f"{file} is not a labelme file: {error!r}") from error
    return AnnotatedImage(path, marks, require_positive_size(size, file))


def _shape_bounds(shape: dict[str, Any], location: str) -> list[float]:
    """The box around a labelme shape: rectangle, polygon or circle (its centre and a point on it)."""
    points = np.array(shape["points"], np.float32).reshape(-1, 2)
    kind = shape.get("shape_type", "rectangle")
    if kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        return [*(points[0] - radius).tolist(), *(points[0] + radius).tolist()]
    if kind not in ("rectangle", "polygon"):
        raise DataError(f"{location} is a {kind}; draw a rectangle around the object")
    return [*points.min(0).tolist(), *points.max(0).tolist()]


def _finite_box(values: Iterable[Any], location: str) -> BoxXyxy:
    left, top, right, bottom = parse_finite_numbers(list(values), location)
    return left, top, right, bottom


def require_positive_size(size: tuple[int, int], location: object) -> tuple[int, int]:
    if min(size) < 1:
        raise DataError(f"{location} says that its picture is {size[1]}x{size[0]}")
    return size


def read_coco(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """A COCO file of boxes, its pictures in the order of the file.

    `iscrowd` and `ignore` make regions to ignore. Also read: `group` and `source` of a picture, `mask` of a face.
    Raises DataError naming the annotation.
    """
    data = read_json(source)
    folders = [images] if images else [source.parent, source.parent / "images", source.parent.parent / "images"]
    try:
        rows = {row["id"]: row for row in data["images"]}
        if len(rows) < len(data["images"]):
            raise DataError(f"{source} gives several pictures the same id")
        names = {row["id"]: str(row["name"]) for row in data["categories"]}
        marks: dict[Any, list[Annotation]] = {key: [] for key in rows}
        for note in data["annotations"]:
            where = f"{source}: annotation {note.get('id')}"
            for key, known in (("image_id", rows), ("category_id", names)):
                if note[key] not in known:
                    raise DataError(f"{where}: there is no {key} {note[key]!r}")
            where += f" of {rows[note['image_id']]['file_name']}"
            x, y, w, h = parse_finite_numbers(note["bbox"], where)
            ignore = bool(note.get("iscrowd") or note.get("ignore"))
            mask = note.get("mask") if note.get("mask") in (0, 1) else -1  # elsewhere it may be an outline
            label = names[note["category_id"]]
            marks[note["image_id"]].append(Annotation((x, y, x + w, y + h), label, where, ignore, mask))
        return [
            AnnotatedImage(
                find_image([str(row["file_name"])], folders),
                marks[key],
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


READERS: dict[str, Callable[[Path, Path | None], list[AnnotatedImage]]] = {
    "coco": read_coco,
    "labelme": read_labelme,
    "voc": read_voc,
    "wider": read_wider_face,
    "yolo": read_yolo,
}
