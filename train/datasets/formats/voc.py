"""TODO docstring."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import IMAGE_SUFFIXES
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, parse_finite_numbers
from pocketsight.train.datasets.formats.layout import (
    find_image,
    list_files,
)


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
