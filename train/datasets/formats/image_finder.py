"""Finds the image that a label file names, by as much of the name as is true on this computer."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image_kinds import KNOWN_IMAGE_SUFFIXES, list_by_suffix
from pocketsight.train.datasets.splits import list_split_folders, parse_split_name

IMAGE_FOLDERS = "images", "JPEGImages", "data", "Images", "imgs", "img"  # as annotation tools name them
LABEL_FOLDERS = "Annotations", "annotations", "labels"
UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-")  # Label Studio puts it before the names of uploads


class ImageFinder:
    """Looks for a relative name in `folders`, then for its last parts anywhere below the folders in `searched`.

    Other computers write backslashes, "%20", and the folders of a server before the name. An earlier folder has
    priority over a later one.
    """

    def __init__(self, folders: Sequence[Path], searched: Sequence[Path] = ()) -> None:
        self.folders, self.searched = folders, searched

    def find(self, *names: str) -> Path:
        """The image of the first name that leads to one; else the path where the first name says that it is.

        Raises DataError when a name fits two images equally well.
        """
        cleaned = [clean_name(name) for name in names]
        for name in dict.fromkeys([*(name.replace("\\", "/") for name in names), *cleaned]):
            for folder in self.folders:
                if (path := folder / name).is_file():
                    return path
        for name in cleaned:
            if path_below := self._find_below(name):
                return path_below
        return self.folders[0] / names[0].replace("\\", "/")

    def _find_below(self, name: str) -> Path | None:
        for index, key in zip(self._indices, NAME_KEYS, strict=True):
            if candidates := index.get(key(PurePosixPath(name).name)):
                return closest_path(name, candidates)
        return None

    @cached_property
    def _indices(self) -> list[dict[str, list[Path]]]:
        """For each of NAME_KEYS the images of `searched` by that key, made at the first name that needs them."""
        paths = dict.fromkeys(p for folder in self.searched for p in list_by_suffix(folder, KNOWN_IMAGE_SUFFIXES))
        indices: list[dict[str, list[Path]]] = []
        for key in NAME_KEYS:
            index: dict[str, list[Path]] = {}
            for path in paths:
                index.setdefault(key(path.name), []).append(path)
            indices.append(index)
        return indices


def _same(name: str) -> str:
    return name


def _any_letters(name: str) -> str:
    """The same for capitals, and for the two ways in which computers write accents."""
    return unicodedata.normalize("NFC", name).casefold()


def _without_upload_prefix(name: str) -> str:
    """Label Studio's name of an upload, or the name before the upload."""
    return re.sub("[ +]", "_", UPLOAD_PREFIX.sub("", _any_letters(name)))


def _without_suffix(name: str) -> str:
    """The name of an image that was converted to another kind after it was labeled."""
    stem, suffix = os.path.splitext(_without_upload_prefix(name))
    return stem if suffix in KNOWN_IMAGE_SUFFIXES else stem + suffix


# Ways to compare two file names, the strictest first.
NAME_KEYS: tuple[Callable[[str], str], ...] = (_same, _any_letters, _without_upload_prefix, _without_suffix)


def clean_name(name: str) -> str:
    """A path in the form of this computer: of an address only its path, without "%20" and backslashes."""
    name = unquote(name.strip()).replace("\\", "/")
    path = re.sub(r"^[a-z][a-z0-9+]*://[^/]*", "", name)
    query = r"\?[^/]*$" if path == name else r"\?.*$"
    path = path.partition("?d=")[2] or re.sub(query, "", path)  # Label Studio's local files
    return re.sub(r"^[A-Za-z]:/", "/", path)


def closest_path(name: str, candidates: Iterable[Path]) -> Path:
    """The candidate that shares the most trailing parts with a name. Raises DataError when two share as many."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("..", ".", "/")][::-1]
    shared = {path: _count_equal(parts, path.parts[::-1]) for path in candidates}
    best = [path for path, count in shared.items() if count == max(shared.values())]
    if len(best) > 1:
        raise DataError(f"{name!r} could be {best[0]} or {best[1]}; give the folder of the right one with --images DIR")
    return best[0]


def _count_equal(a: Sequence[str], b: Sequence[str]) -> int:
    """How many items at the beginning are equal, but for capitals."""
    pairs = zip(a, b, strict=False)
    return next((n for n, (x, y) in enumerate(pairs) if x.casefold() != y.casefold()), min(len(a), len(b)))


def finder_near(source: Path, images: Path | None, split: str = "") -> ImageFinder:
    """A finder for the names in the file or folder `source`.

    It searches `images`, if given, else the usual folders next to the source and one level above. Where these have
    folders of splits, it searches only that of `split`, if the source names one.
    """
    if images:
        return ImageFinder([images], [images])
    base = source if source.is_dir() else source.parent
    folders = [base, base.parent]
    usual = [folder / name for folder in folders for name in IMAGE_FOLDERS if (folder / name).is_dir()]
    usual = list({path.resolve(): path for path in usual}.values())  # images and Images may be one
    splits = [(own, path) for folder in [*folders, *usual] for own, path in list_split_folders(folder)]
    same = [path for own, path in splits if own == split]
    if same:
        return ImageFinder([*folders, *same, *usual], [base, *same] if _is_flat(base) else same)
    searched = [*usual, *(path for _, path in splits)]
    is_own = base.name in (*IMAGE_FOLDERS, *LABEL_FOLDERS) or parse_split_name(base.name) or _is_flat(base)
    if is_own or not searched:
        searched.insert(0, base)
    if not usual and not splits and base.name in LABEL_FOLDERS:
        searched.append(base.parent)  # images in a folder of another name
    return ImageFinder([*folders, *usual], searched)


def _is_flat(folder: Path) -> bool:
    """Whether a folder has images itself: then they are searched, with those in its subfolders."""
    return any(path.suffix.lower() in KNOWN_IMAGE_SUFFIXES for path in folder.iterdir())
