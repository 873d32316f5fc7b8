"""Reader of YOLO text files, one for each image: https://docs.ultralytics.com/datasets/detect/"""

from __future__ import annotations

from pathlib import Path

import yaml  # type: ignore[import-untyped,unused-ignore]

from pocketsight.device.errors import DataError
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, parse_finite_numbers, read_upright_size
from pocketsight.train.datasets.formats.layout import pair_images_with_labels, read_text


def read_yolo(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of a folder, with their .txt files in labels/ or next to them.

    A row has a class number, and center and size or a polygon, in shares of the image. An image without a file has no
    object. Class names come from data.yaml, classes.txt or obj.names, in the folder or up to two levels above; without
    them the label is the number. `images` is the folder of the images, if it is elsewhere. Raises DataError, naming
    the line.
    """
    names = _find_class_names(source)
    pairs = pair_images_with_labels(source, images, ".txt")
    return [_read_yolo_image(path, file, names) for path, file in progress_bar(pairs)]


def _read_yolo_image(path: Path, file: Path | None, names: dict[int, str]) -> AnnotatedImage:
    if not file or not path.is_file():
        return AnnotatedImage(path)
    size = read_upright_size(path)
    return AnnotatedImage(path, _parse_yolo_rows(file, size, names), size)


def _parse_yolo_rows(file: Path, size: tuple[int, int], names: dict[int, str]) -> list[Annotation]:
    annotations = []
    for number, row in enumerate(read_text(file).splitlines(), 1):
        location, words = f"{file} line {number}", row.split()
        if not words:
            continue
        if len(words) != 5 and (len(words) < 7 or len(words) % 2 == 0):
            raise DataError(f"{location}: {row!r} is not 'class cx cy w h'")
        if not (words[0].isascii() and words[0].isdecimal()) or (names and int(words[0]) not in names):
            hint = f"there are {len(names)} classes" if names else "a class is a whole number"
            raise DataError(f"{location}: unknown class {words[0]!r}; {hint}")
        values = parse_finite_numbers(words[1:], location)
        if wrong := [value for value in values if not -0.01 <= value <= 1.01]:
            raise DataError(f"{location}: {wrong[0]:g} is not in 0..1; YOLO stores shares of the image, not pixels")
        if len(values) == 4:
            cx, cy, w, h = values
            box = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
        else:
            box = min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
        height, width = size
        scaled = box[0] * width, box[1] * height, box[2] * width, box[3] * height
        annotations.append(Annotation(scaled, names.get(int(words[0]), words[0]), location))
    return annotations


def _find_class_names(source: Path) -> dict[int, str]:
    """Class names by number; empty without a file of names."""
    for folder in (source, source.parent, source.parent.parent):
        for file in (folder / name for name in ("data.yaml", "classes.txt", "obj.names")):
            if file.is_file():
                return _read_class_names(file)
    return {}


def _read_class_names(file: Path) -> dict[int, str]:
    text = read_text(file)
    try:
        entries = yaml.safe_load(text)["names"] if file.suffix == ".yaml" else text.split("\n")
        rows = entries.items() if isinstance(entries, dict) else enumerate(entries)
        return {int(number): str(name).strip() for number, name in rows if str(name).strip()}
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} has no class names: {' '.join(str(error).split())}") from error
