"""The names of the splits, and the names that other tools give them: folders, list files and COCO files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.system.surrogates import replace_surrogates
from pocketsight.device.vision.image_kinds import is_hidden

SPLITS = "train", "val", "test"
SPLIT_NAMES = {
    "train": ("train", "training", "trainval"),
    "val": ("val", "valid", "validation", "dev", "publictest"),
    "test": ("test", "testing", "privatetest"),
}
SPLIT_BY_NAME = {name: split for split, names in SPLIT_NAMES.items() for name in names}
# Around a name: darknet's obj_Train_data, Ultralytics' autosplit_train, COCO's train2017, train_images and the like.
LONGEST_FIRST = "|".join(sorted(SPLIT_BY_NAME, key=len, reverse=True))
FOLDER_PATTERN = re.compile(rf"(?:(?:obj|autosplit)[_-])?({LONGEST_FIRST})(?:\d{{4}})?(?:[_ -]?(?:data|images|set))?")


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
    """(split, folder) of each subfolder that is named after a split: train before val before test.

    Names such as seg_train and train1 count where a folder of another split is next to them: see `parse_split_names`.
    """
    if not folder.is_dir():
        return []
    paths = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    names = parse_split_names([path.name for path in paths])
    found = [(names[path.name], path) for path in paths if path.name in names]
    return sorted(found, key=lambda pair: SPLITS.index(pair[0]))


def parse_split_names(names: Sequence[str]) -> dict[str, str]:
    """The split of each name of one folder that is named after one.

    A name with other words, such as "seg_train", counts if there is no plain name of its split, but one of another
    split, plain or with the same other words, such as "seg_test"; and if one of all is the train split.
    """
    plain = {name: split for name in names if (split := parse_split_name(name))}
    worded = {name: pair for name in names if name not in plain and (pair := _split_and_other_words(name))}
    found = dict(plain)
    for name, (split, others) in worded.items():
        same = {own for own, words in worded.values() if words == others}
        if split not in plain.values() and {*plain.values(), *same} - {split}:
            found[name] = split
    return found if "train" in found.values() else plain


def _split_and_other_words(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The split among the words of a name, and the other words; None without one or with several."""
    words = re.findall(r"[a-z]+|[0-9]+", _separate_words(name))
    splits = [SPLIT_BY_NAME[word] for word in words if word in SPLIT_BY_NAME]
    others = tuple(word for word in words if word not in SPLIT_BY_NAME)
    return (splits[0], others) if len(splits) == 1 else None


def list_class_folders(folder: Path) -> list[tuple[str, Path]]:
    """(split, class folder) of a folder of class folders: those in train/, val/ and test/, then those without a split.

    Raises DataError when splits are inside a class folder, a folder outside the splits holds their classes, or two
    names of classes differ in capitals only.
    """
    splits = list_split_folders(folder)
    found: list[tuple[str, Path]] = []
    for split, tree in splits:
        if inner := [*(path for _, path in list_split_folders(tree)), *_subfolders(tree, [tree.name])]:
            raise DataError(f"{inner[0]} is a split inside a split; which of them holds its images? move one away")
        found += [(split, path) for path in _subfolders(tree)]
    classes = {path.name for _, path in found}
    trees = [tree for _, tree in splits]
    for path in _subfolders(folder):
        if path in trees:
            continue
        if splits and len(names := [inner.name for inner in _subfolders(path, classes)]) > 1:
            raise DataError(
                f"{path} is no class: it has the classes {', '.join(names)}; name it train, val or test, or move it"
            )
        found.append(("", path))
    for _, path in found:
        require_no_inner_splits(path)
    _require_distinct_names([path.name for _, path in found], folder)
    return found


def _subfolders(folder: Path, names: Iterable[str] | None = None) -> Iterator[Path]:
    """The subfolders, sorted, without hidden ones. `names`: only those of these names."""
    wanted = None if names is None else set(names)
    for path in sorted(folder.iterdir()):
        if (wanted is None or path.name in wanted) and path.is_dir() and not is_hidden(path.name):
            yield path


def _require_distinct_names(names: Iterable[str], source: object) -> None:
    """Raises DataError when a name of a class is no text, or two differ in capitals or spaces only: they are one."""
    seen: dict[str, str] = {}
    for name in sorted(set(names)):
        if name != replace_surrogates(name):
            raise DataError(f"{source} has the class folder {name!r}, whose name is not UTF-8; rename it")
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
