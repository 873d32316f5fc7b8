"""Reader of YOLO text files, one for each image: https://docs.ultralytics.com/datasets/detect/"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from pocketsight.device.errors import DataError
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, parse_finite_numbers, read_upright_size
from pocketsight.train.datasets.formats.layout import pair_images_with_labels, read_text
from pocketsight.train.datasets.formats.yolo_rows import Row, RowReader

WHOLE_NUMBER = re.compile(r"[0-9]+(\.0*)?")  # a program may write 0 as 0.000000
LEVELS_UP = 2  # folders above the labels in which the names of classes may be


def read_yolo(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of a folder, with their .txt files in labels/ or next to them.

    A row has a class number, and center and size, a polygon or landmarks, in shares of the image: see yolo_rows.py. An
    image without a file has no object. Class names come from a .yaml file with names, *.names or classes.txt, in the
    folder, in labels/ or up to two levels above; without them the label is the number. `images` is the folder of the
    images, if it is elsewhere. Raises DataError, naming the line.
    """
    document, names = find_class_names(source)
    pairs = pair_images_with_labels(source, images, ".txt")
    rows = {file: list(_parse_rows(file, names)) for path, file in progress_bar(pairs) if file and path.is_file()}
    try:
        reader = RowReader(document, [row for file_rows in rows.values() for row in file_rows])
    except DataError as error:
        raise DataError(f"the .yaml file of {source}: {error}") from error
    return [_read_yolo_image(path, rows.get(file, []) if file else [], reader, names) for path, file in pairs]


def _read_yolo_image(path: Path, rows: list[Row], reader: RowReader, names: dict[int, str]) -> AnnotatedImage:
    if not rows:
        return AnnotatedImage(path)
    height, width = read_upright_size(path)
    annotations = []
    for row in rows:
        left, top, right, bottom = reader.read_bounds(row)
        box = left * width, top * height, right * width, bottom * height
        annotations.append(Annotation(box, names.get(row.class_number, str(row.class_number)), row.location))
    return AnnotatedImage(path, annotations, (height, width))


def _parse_rows(file: Path, names: dict[int, str]) -> Iterator[Row]:
    for number, line in enumerate(read_text(file).splitlines(), 1):
        location, words = f"{file} line {number}", line.split()
        if not words:
            continue
        class_number = int(float(words[0])) if WHOLE_NUMBER.fullmatch(words[0]) else -1
        if class_number < 0 or (names and class_number not in names):
            hint = f"there are {len(names)} classes" if names and class_number >= 0 else "a class is a whole number"
            raise DataError(f"{location}: unknown class {words[0]!r}; {hint}")
        yield Row(class_number, parse_finite_numbers(words[1:], location), location, line.strip())


def find_class_names(source: Path) -> tuple[dict[str, Any], dict[int, str]]:
    """The .yaml file with names, {} without one, and the class names by number; empty without a file of names.

    Raises DataError when two files of one folder disagree.
    """
    folders = [source, source / "labels", *list(source.parents)[:LEVELS_UP]]
    for folder in folders:
        for file, document in iter_yaml_documents(folder):
            if "names" in document:
                return document, _number_names(document["names"], file)
            if file.name == "data.yaml":
                raise DataError(f"{file} has no class names: it needs names")
    for folder in folders:
        files = [*sorted(folder.glob("*.names")), *(folder / name for name in NAME_FILES)]
        found = {file: _number_names(read_text(file).split("\n"), file) for file in files if file.is_file()}
        if len({tuple(names.items()) for names in found.values()}) > 1:
            raise DataError(f"{' and '.join(map(str, found))} have other class names; remove the wrong one")
        if found:
            return {}, next(iter(found.values()))
    return {}, {}


YAML_STEMS = "data", "dataset"
NAME_FILES = "classes.txt", "_darknet.labels"


def iter_yaml_documents(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The .yaml files of a folder with their content, data.yaml first; those that hold no mapping have {}.

    Raises DataError when data.yaml or dataset.yaml cannot be read.
    """
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")], key=lambda path: path.stem not in YAML_STEMS)
    yield from ((file, _read_yaml(file)) for file in files)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        if file.stem not in YAML_STEMS:
            return {}
        raise DataError(f"{file} has no class names: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        if file.stem in YAML_STEMS:
            raise DataError(f"{file} has no class names: it needs names")
        return {}
    return document


def _number_names(entries: Any, file: Path) -> dict[int, str]:
    if isinstance(entries, str) and (named := file.parent / entries).is_file():
        entries = read_text(named).splitlines()
    try:
        if isinstance(entries, str):
            raise TypeError("one text")
        rows = entries.items() if isinstance(entries, dict) else enumerate(entries)
        return {int(number): str(name).strip() for number, name in rows if str(name).strip()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{file} has no class names: names must be a list, or numbers with names") from error
