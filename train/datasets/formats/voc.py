"""Reader of Pascal VOC files, one XML file for each image: http://host.robots.ox.ac.uk/pascal/VOC/"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException  # type: ignore[import-untyped,unused-ignore]
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped,unused-ignore]

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import IMAGE_SUFFIXES
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, parse_finite_numbers
from pocketsight.train.datasets.formats.layout import find_image, list_files


def read_voc(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of an .xml file or a folder of them. `images` is their folder; None: searched near the files.

    `difficult` objects are boxes to ignore. Pixels count from 1 and the last one is included, as in the VOC development
    kit. Raises DataError, naming the object.
    """
    return [_read_voc_file(file, images) for file in progress_bar(list_files(source, ".xml"))]


def _read_voc_file(file: Path, images: Path | None) -> AnnotatedImage:
    root = _parse_xml(file)
    if root.tag != "annotation":
        raise DataError(f"{file} is not Pascal VOC: its root is <{root.tag}>, not <annotation>")
    folders = file.parent, file.parent.parent / "JPEGImages", file.parent.parent / "images"
    name = (root.findtext("filename") or "").strip()
    names = [*([name] if name else []), *(file.stem + suffix for suffix in (".jpg", *sorted(IMAGE_SUFFIXES)))]
    sides = [root.findtext(f"size/{side}") or 0 for side in ("height", "width")]
    size = parse_finite_numbers(sides, f"{file}: its size")
    annotations = [_read_object(item, f"{file}: object {n}") for n, item in enumerate(root.findall("object"), 1)]
    known_size = (int(size[0]), int(size[1])) if min(size) >= 1 else None  # some tools write 0
    return AnnotatedImage(find_image(names, [images] if images else folders), annotations, known_size)


def _read_object(item: Element, location: str) -> Annotation:
    label = (item.findtext("name") or "").strip()
    if not label:
        raise DataError(f"{location} has no <name>")
    corners = [item.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = parse_finite_numbers(corners, f"{location}: <bndbox>")
    is_difficult = (item.findtext("difficult") or "0").strip() not in ("0", "")
    return Annotation((left - 1, top - 1, right, bottom), label, location, is_difficult)


def _parse_xml(file: Path) -> Element:
    """The root of an XML file. Files with a DOCTYPE are refused: entities could fill the memory. Raises DataError."""
    try:
        root: Element = fromstring(file.read_bytes(), forbid_dtd=True)
    except DefusedXmlException as error:
        raise DataError(f"{file} is not Pascal VOC: it has a DOCTYPE") from error
    except (OSError, ParseError, ValueError, LookupError) as error:
        raise DataError(f"{file} cannot be read as XML: {error}") from error
    return root
