"""Where a source keeps its files: label files, the pictures they speak of, and the parts of a data set."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import list_images

SPLIT_FOLDERS = "train", "val", "valid", "test"
NON_LABEL_STEMS = {"classes", "labels", "predefined_classes", *SPLIT_FOLDERS}  # names of text files beside YOLO's


def read_text(path: Path) -> str:
    """The file as text. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error


def list_files(source: Path, suffix: str) -> list[Path]:
    """The source itself, or every such file below it; not the hidden ones, like a Mac's "._a.xml"."""
    if source.is_file():
        return [source]
    return sorted(p for p in source.rglob(f"*{suffix}") if not p.name.startswith(".") and p.is_file())


def find_image(names: Iterable[str], folders: Iterable[Path]) -> Path:
    """The first name that is a file in one of the folders; if there is none, the first name in the first folder."""
    places = [folder / name.replace("\\", "/") for name in names for folder in folders]
    return next((place for place in places if place.is_file()), places[0])


def read_json(path: Path) -> Any:
    """Raises DataError."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error


def single_split_folder(source: Path) -> Path:
    """The folder of the one part that a folder holds, or itself. Raises DataError when it holds several.

    Joined they would train on what they are tested with.
    """
    tops = [source / name for name in ("annotations", "images", "labels", ".")]  # the last that has it counts
    found = {name: top / name for top in tops for name in SPLIT_FOLDERS if (top / name).is_dir()}
    if len(found) > 1:
        raise DataError(
            f"{source} holds the parts {', '.join(found)}; import one at a time: {next(iter(found.values()))}"
        )
    return next((path for name, path in found.items() if path.parent == source), source)


def pair_images_with_labels(source: Path, images: Path | None, suffix: str) -> list[tuple[Path, Path | None]]:
    """Pictures with their label files, None for one without: of images/ and labels/, or beside each other.

    The picture of a label file that has none comes with the file too, though it does not exist.
    """
    if not source.is_dir():
        raise DataError(f"{source} is one label file; give the folder that it is in")
    labels = source / "labels" if (source / "labels").is_dir() else source
    beside = [part for part in range(len(labels.parts)) if labels.parts[part] == "labels"]
    swapped = Path(*labels.parts[: beside[-1]], "images", *labels.parts[beside[-1] + 1 :]) if beside else labels
    folder = images or (swapped if swapped.is_dir() else source)
    paths: dict[Path, Path] = {}
    for path in list_images(folder):
        other = paths.setdefault(path.relative_to(folder).with_suffix(""), path)
        if other != path:
            raise DataError(f"{path} and {other.name} would share one label file; rename one")
    notes = {file.relative_to(labels).with_suffix(""): file for file in list_files(labels, suffix)}
    if not notes:
        raise DataError(f"{labels} holds no {suffix} files; give the folder of the labels, or the one around it")
    lost = [key for key in notes if key not in paths and not (suffix == ".txt" and _is_not_label(key))]
    return [(path, notes.get(key)) for key, path in paths.items()] + [
        (folder / f"{key}.jpg", notes[key]) for key in lost
    ]


def _is_not_label(key: Path) -> bool:
    return key.name in NON_LABEL_STEMS or key.name.startswith("README")
