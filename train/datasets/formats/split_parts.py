"""The splits of a data set to import: folders, or lists of images. They are never joined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.formats.base import AnnotatedImage
from pocketsight.train.datasets.formats.image_finder import closest_path
from pocketsight.train.datasets.formats.layout import is_image_list, read_text
from pocketsight.train.datasets.formats.yolo import iter_yaml_documents
from pocketsight.train.datasets.splits import SPLITS, list_split_folders, parse_split_name, parse_split_of_file

# Folders that may hold the folders of splits; the last one has priority.
TOP_FOLDERS = "JPEGImages", "data", "images", "annotations", "labels", "Annotations", "."


@dataclass(frozen=True)
class SplitPart:
    """One split of a source."""

    split: str
    path: Path  # its folder, or the file that lists its images


def choose_part(source: Path, split: str | None) -> tuple[Path, Path | None]:
    """The folder to read, and the list of the images to keep; None: all. `source` may be such a list itself.

    Without `split` the source may have one split only: with several, DataError names them. Imported together, the test
    images would be trained on.
    """
    if source.is_file():
        return (list_root(source), source) if _is_list(source) else (source, None)
    parts = _find_parts(source)
    if not parts:
        _require_no_deeper_parts(source)
    if split and split not in parts and parse_split_name(source.name) != split:
        names = ", ".join(part.path.stem for part in parts.values())
        raise DataError(f"{source} has no {split} split; it has: {names or 'none'}")
    if len(parts) > 1 and not split:
        first = next(iter(parts.values()))
        raise DataError(
            f"{source} has the splits {', '.join(part.path.stem for part in parts.values())}; "
            f"import one at a time: {first.path}, or with --split {first.split}"
        )
    chosen = parts.get(split or next(iter(parts), ""))
    if not chosen or (not split and chosen.path.parent != source):
        return source, None
    path = chosen.path
    if path.is_dir():
        return path, None
    return source, path if split else None


def select_listed(images: list[AnnotatedImage], list_file: Path) -> list[AnnotatedImage]:
    """The images that a list names. Raises DataError when it names an image that is not there."""
    by_stem: dict[str, dict[Path, AnnotatedImage]] = {}
    for image in images:
        by_stem.setdefault(image.path.stem, {})[image.path.with_suffix("")] = image
    chosen: dict[Path, AnnotatedImage] = {}
    for number, line in enumerate(read_text(list_file).splitlines(), 1):
        name = line.strip().replace("\\", "/")
        name = name.rpartition(" ")[0] if name.endswith((" 1", " -1", " 0")) else name  # lists by class of Pascal VOC
        if not name:
            continue
        plain = str(PurePosixPath(name).with_suffix("")) if Path(name).suffix else name
        candidates = by_stem.get(PurePosixPath(plain).name) or by_stem.get(PurePosixPath(name).name)
        if not candidates:
            raise DataError(f"{list_file} line {number} names {name}, which is not among the images")
        image = candidates[closest_path(plain, candidates)]
        chosen[image.path] = image
    return list(chosen.values())


def _find_parts(source: Path) -> dict[str, SplitPart]:
    """The splits of a folder, in the order of SPLITS."""
    found: dict[str, SplitPart] = {}
    for folder in (source, source / "ImageSets" / "Main", source.parent / "ImageSets" / "Main"):
        if folder.is_dir() and (folder.parent.parent == source or folder == source or source.name == "Annotations"):
            lists = (path for path in sorted(folder.glob("*.txt")) if parse_split_name(path.stem) and _is_list(path))
            for path in lists:
                split = parse_split_name(path.stem)
                if split not in found or path.stem.lower() != "trainval":
                    found[split] = SplitPart(split, path)
    for top in TOP_FOLDERS:
        for split, path in list_split_folders(source / top):
            found[split] = SplitPart(split, path)
    named = {path: split for split, path in reversed(list(_yaml_parts(source)))}  # one folder may be train and val
    if len(named) > 1:
        others = {path: split for path, split in named.items() if path not in [part.path for part in found.values()]}
        found = {split: SplitPart(split, path) for path, split in others.items()} | found
    return {split: found[split] for split in SPLITS if split in found}


def _yaml_parts(source: Path) -> Iterator[tuple[str, Path]]:
    """(split, folder of the labels or list of the images) that a .yaml file of YOLO in `source` names."""
    for _, document in iter_yaml_documents(source):
        for key, value in document.items():
            split = parse_split_name(str(key))
            for entry in value if isinstance(value, list) else [value]:
                name = re.sub(r"^(\.\./)+", "", entry.replace("\\", "/")) if split and isinstance(entry, str) else ""
                path = source / name
                if not name or not path.is_relative_to(source) or path == source or not path.exists():
                    continue
                parts = list(path.relative_to(source).parts)
                if parts[-1] == "images":
                    path = path.parent
                elif "images" in parts and path.is_dir():
                    parts[parts.index("images")] = "labels"
                    path = source.joinpath(*parts)
                if path != source and path.exists():
                    yield split, path


def _require_no_deeper_parts(source: Path) -> None:
    """Raises DataError when a folder within `source` is a data set with splits: they would be joined."""
    for folder in (path for pattern in ("*", "*/*") for path in sorted(source.glob(pattern)) if path.is_dir()):
        if len(parts := _find_parts(folder)) > 1:
            names = ", ".join(part.path.stem for part in parts.values())
            raise DataError(f"{folder} has the splits {names}; import that folder, one split at a time, with --split")


def _is_list(path: Path) -> bool:
    """Whether a text file lists the images of a split: of darknet with suffix, of Pascal VOC without."""
    return path.suffix == ".txt" and (path.parent.name == "Main" or is_image_list(path))


def list_root(source: Path) -> Path:
    """The folder of the data set whose images a file lists; the source itself if it is no such file."""
    if not source.is_file() or not _is_list(source):
        return source
    return source.parents[2] if source.parent.name == "Main" else source.parent


def keep_split(images: list[AnnotatedImage], source: Path, split: str | None) -> list[AnnotatedImage]:
    """The images of one split, where the file says of each to which it belongs. Raises DataError without a choice."""
    splits = {image.split for image in images}
    if split and split in splits:
        return [image for image in images if image.split == split]
    names = [name for name in SPLITS if name in splits]
    if split and source.is_file() and (names or parse_split_of_file(source) != split):
        raise DataError(
            f"{source} has no {split} split; it has: {', '.join(names) or parse_split_of_file(source) or 'none'}"
        )
    if len(names) > 1:
        raise DataError(f"{source} has the splits {', '.join(names)}; import one at a time, with --split {names[0]}")
    return images
