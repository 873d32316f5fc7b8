"""Finds the files of a data set: label files and their images."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException  # type: ignore[import-untyped,unused-ignore]
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped,unused-ignore]

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import list_images
from pocketsight.device.vision.image_kinds import is_image_name, list_by_suffix, list_unread_images
from pocketsight.train.console import log_unread_images
from pocketsight.train.datasets.formats.image_finder import NAME_KEYS, closest_path
from pocketsight.train.datasets.splits import parse_split_name

# Stems of text files next to YOLO labels that are not labels.
NON_LABEL_STEMS = {"classes", "labels", "notes", "predefined_classes"}


def read_text(path: Path) -> str:
    """The content of a text file (see `text_encoding`), without a byte order mark. Raises DataError."""
    try:
        data = path.read_bytes()
        return data.decode(text_encoding(data))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} cannot be read as text: {error}; save it as UTF-8") from error


def text_encoding(data: bytes) -> str:
    """UTF-8, or UTF-16 where the text begins with its mark, as programs of Windows write it."""
    return "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error


def read_xml(path: Path) -> Element:
    """The root of an XML file. Files with a DOCTYPE are refused: entities could fill the memory. Raises DataError."""
    try:
        root: Element = fromstring(path.read_bytes(), forbid_dtd=True)
    except DefusedXmlException as error:
        raise DataError(f"{path} has a DOCTYPE, which no annotation tool writes; it is not read") from error
    except (OSError, ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path} cannot be read as XML: {error}") from error
    return root


def list_files(source: Path, suffix: str) -> list[Path]:
    """The source if it is a file, else all files with the suffix below it, without hidden ones ("._a.xml" of macOS)."""
    return [source] if source.is_file() else list_by_suffix(source, [suffix])


def is_image_list(path: Path) -> bool:
    """Whether a text file lists images, one a line, as darknet does; then it holds no labels."""
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    return bool(lines) and all(is_image_name(line) for line in lines)


def pair_images_with_labels(
    source: Path, images: Path | None, suffix: str, named_image: Callable[[Path], str] = lambda _: ""
) -> list[tuple[Path, Path | None]]:
    """(image, label file or None) of a folder with images/ and labels/, or with both in one folder.

    A label file whose path has no image belongs to the one of its name elsewhere; `named_image` returns the image that
    a label file itself names, or "". Without any image it gives the path where the image should be. Raises DataError.
    """
    if not source.is_dir():
        raise DataError(f"{source} is one label file; give its folder")
    labels = source / "labels" if (source / "labels").is_dir() else source
    folder = images or _image_folder(labels, source)
    paths = index_by_label_name(list_images(folder), folder)
    files = {file.relative_to(labels).with_suffix(""): file for file in list_files(labels, suffix)}
    if not files:
        raise DataError(f"{labels} has no {suffix} files; give the folder of the labels, or its parent")
    log_unread_images(folder)
    unread = {path.relative_to(folder).with_suffix("") for path in list_unread_images(folder)}
    orphans = {name: file for name, file in files.items() if name not in paths and name not in unread}
    if suffix == ".txt":
        orphans = {name: file for name, file in orphans.items() if not _is_not_label(file)}
    elsewhere = _match_elsewhere(orphans, {n: p for n, p in paths.items() if n not in files}, named_image)
    return [(path, files.get(name) or elsewhere.get(path)) for name, path in paths.items()] + [
        (folder / f"{name}.jpg", file) for name, file in orphans.items() if file not in elsewhere.values()
    ]


def _image_folder(labels: Path, source: Path) -> Path:
    """The folder of the images of a folder of labels: images/ in place of labels/, if there is one."""
    indices = [n for n, name in enumerate(labels.parts) if name == "labels"]
    if not indices:
        return labels
    swapped = Path(*labels.parts[: indices[-1]], "images", *labels.parts[indices[-1] + 1 :])
    return swapped if swapped.is_dir() else source


def _match_elsewhere(
    orphans: dict[Path, Path], free: dict[Path, Path], named_image: Callable[[Path], str]
) -> dict[Path, Path]:
    """Image -> label file, for label files that are in another folder than their image. Raises DataError if in doubt.

    labelme with --output writes all label files into one folder; uploads get a prefix.
    """
    matched: dict[Path, Path] = {}
    open_files = list(orphans.values())
    hints = [named_image(file).replace("\\", "/") for file in open_files]
    # By the name of the label file, then by the name of the image that it holds.
    for names in ([file.stem for file in open_files], [PurePosixPath(hint).stem for hint in hints]):
        for key in NAME_KEYS:
            by_stem: dict[str, list[Path]] = {}
            for path in free.values():
                if path not in matched:
                    by_stem.setdefault(key(path.stem), []).append(path)
            done = set(matched.values())
            for name, hint, file in zip(names, hints, open_files, strict=True):
                candidates = [path for path in by_stem.get(key(name), []) if path not in matched]
                if name and candidates and file not in done:
                    matched[closest_path(hint, candidates) if len(candidates) > 1 else candidates[0]] = file
    return matched


def index_by_label_name(images: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """Images by the name of their label file: the path below `folder`, without extension.

    Raises DataError when two images would share one label file.
    """
    by_name: dict[Path, Path] = {}
    for path in images:
        other = by_name.setdefault(path.relative_to(folder).with_suffix(""), path)
        if other != path:
            raise DataError(f"{path} and {other.name} would share one label file; rename one")
    return by_name


def _is_not_label(file: Path) -> bool:
    """Whether a text file without an image is no label file: a list of class names or images, a README or a license."""
    stem = file.stem.lower()
    if stem in NON_LABEL_STEMS or parse_split_name(stem):
        return True
    rows = [words for line in read_text(file).splitlines() if (words := line.split())]
    return bool(rows) and not any(len(words) > 4 and are_numbers(words[1:5]) for words in rows)


def are_numbers(words: Sequence[str]) -> bool:
    """Whether there are words, and all are numbers."""
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False
