"""The names of the splits, and the names that other tools give them: folders, list files and COCO files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image_kinds import is_hidden

SPLITS = "train", "val", "test"
SPLIT_NAMES = {
    "train": ("train", "training", "trainval"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_BY_NAME = {name: split for split, names in SPLIT_NAMES.items() for name in names}
# Around a name: darknet's obj_Train_data, COCO's train2017, and train_images, train-set and the like.
FOLDER_PATTERN = re.compile(
    rf"(?:obj[_-])?({'|'.join(sorted(SPLIT_BY_NAME, key=len, reverse=True))})(?:\d{{4}})?(?:[_ -]?(?:data|images|set))?"
)


def parse_split_name(name: str) -> str:
    """The split that a folder or list of this name is, such as "val" for "Validation"; "" if it is none."""
    match = FOLDER_PATTERN.fullmatch(name.lower())
    return SPLIT_BY_NAME[match[1]] if match else ""


def parse_split_of_file(path: Path) -> str:
    """The split that a file names: instances_train2017.json, rf_valid.json, train/_annotations.coco.json; else "".

    The folder counts only where the file has no name of its own, or folders of other splits are next to it.
    """
    words = {SPLIT_BY_NAME[word] for word in re.findall(r"[a-z]+", _separate_words(path.stem)) if word in SPLIT_BY_NAME}
    for split in reversed(SPLITS):  # a file of "train_val_test" is that of the test split: it must not be trained on
        if split in words:
            return split
    folder = path.absolute().parent
    split = parse_split_name(folder.name)
    has_siblings = split and {name for name, _ in list_split_folders(folder.parent)} != {split}
    return split if has_siblings or path.stem.startswith("_annotations") else ""


def _separate_words(name: str) -> str:
    """In lower case, with the words of "facesTrain" apart."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def list_split_folders(folder: Path) -> list[tuple[str, Path]]:
    """(split, folder) of each subfolder that is named after a split: train before val before test."""
    if not folder.is_dir():
        return []
    found = [(parse_split_name(path.name), path) for path in sorted(folder.iterdir()) if path.is_dir()]
    return sorted((pair for pair in found if pair[0]), key=lambda pair: SPLITS.index(pair[0]))


def list_class_folders(folder: Path) -> list[tuple[str, Path]]:
    """(split, class folder) of a folder of class folders: those in train/, val/ and test/, then those without a split.

    Raises DataError when splits are inside a class folder, or two names of classes differ in capitals only.
    """
    found = []
    for split, tree in [*list_split_folders(folder), ("", folder)]:
        if split and (inner := list_split_folders(tree)):
            raise DataError(f"{inner[0][1]} is a split inside a split; which of them holds its images? move one away")
        subfolders = sorted(path for path in tree.iterdir() if path.is_dir() and not is_hidden(path.name))
        found += [(split, path) for path in subfolders if split or not parse_split_name(path.name)]
    for _, path in found:
        require_no_inner_splits(path)
    _require_distinct_names([path.name for _, path in found], folder)
    return found


def _require_distinct_names(names: Iterable[str], source: object) -> None:
    """Raises DataError when two names of classes differ in capitals or spaces only: they are one class."""
    seen: dict[str, str] = {}
    for name in sorted(set(names)):
        if other := seen.get(key := name.strip().casefold()):
            raise DataError(f"{source} has the classes {other} and {name}, which differ in capitals only; rename one")
        seen[key] = name


def require_no_inner_splits(folder: Path) -> None:
    """Raises DataError when splits are inside a folder that would be read as one: they would be joined."""
    found = list_split_folders(folder)
    if len({split for split, _ in found}) > 1:
        names = ", ".join(path.name for _, path in found)
        raise DataError(
            f"{folder} has the splits {names} inside; put them outside, such as {found[0][0]}/{folder.name}, "
            "or give the folder of one split"
        )
