"""Finds the files of a data set: label files, their images, and the folders of splits."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import list_images

SPLIT_FOLDERS = "train", "val", "valid", "test"
# Stems of text files next to YOLO labels that are not labels.
NON_LABEL_STEMS = {"classes", "labels", "predefined_classes", *SPLIT_FOLDERS}


def read_text(path: Path) -> str:
    """The content of a UTF-8 file, without a byte order mark. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error


def list_files(source: Path, suffix: str) -> list[Path]:
    """The source if it is a file, else all files with the suffix below it, without hidden ones ("._a.xml" of macOS)."""
    if source.is_file():
        return [source]
    return sorted(p for p in source.rglob(f"*{suffix}") if not p.name.startswith(".") and p.is_file())


def find_image(names: Iterable[str], folders: Iterable[Path]) -> Path:
    """The first existing file of the names in the folders; if there is none, the first name in the first folder."""
    candidates = [folder / name.replace("\\", "/") for name in names for folder in folders]
    return next((path for path in candidates if path.is_file()), candidates[0])


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error


def single_split_folder(source: Path) -> Path:
    """The folder of the only split in a folder, or the folder itself.

    Raises DataError when there are several: imported together, the test images would be trained on.
    """
    tops = [source / name for name in ("annotations", "images", "labels", ".")]  # the last one has priority
    found = {name: top / name for top in tops for name in SPLIT_FOLDERS if (top / name).is_dir()}
    if len(found) > 1:
        raise DataError(
            f"{source} has the splits {', '.join(found)}; import one at a time: {next(iter(found.values()))}"
        )
    return next((path for name, path in found.items() if path.parent == source), source)


def pair_images_with_labels(source: Path, images: Path | None, suffix: str) -> list[tuple[Path, Path | None]]:
    """(image, label file or None) of a folder with images/ and labels/, or with both in one folder.

    A label file without an image gives the path where the image should be. Raises DataError.
    """
    if not source.is_dir():
        raise DataError(f"{source} is one label file; give its folder")
    labels = source / "labels" if (source / "labels").is_dir() else source
    indices = [n for n, name in enumerate(labels.parts) if name == "labels"]
    swapped = Path(*labels.parts[: indices[-1]], "images", *labels.parts[indices[-1] + 1 :]) if indices else labels
    folder = images or (swapped if swapped.is_dir() else source)
    paths = index_by_label_name(list_images(folder), folder)
    files = {file.relative_to(labels).with_suffix(""): file for file in list_files(labels, suffix)}
    if not files:
        raise DataError(f"{labels} has no {suffix} files; give the folder of the labels, or its parent")
    orphans = [name for name in files if name not in paths and not (suffix == ".txt" and _is_not_label(name))]
    return [(path, files.get(name)) for name, path in paths.items()] + [
        (folder / f"{name}.jpg", files[name]) for name in orphans
    ]


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


def _is_not_label(name: Path) -> bool:
    return name.name in NON_LABEL_STEMS or name.name.startswith("README")
