"""WebDataset shards: images and their labels in .tar files, of which any image can be read at once.

An image is `NAME.jpg` (or another ending), its labels are `NAME.json` for a detector and `NAME.cls` for a classifier.
"""

from __future__ import annotations

import errno
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image_kinds import readable_suffixes
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import AnnotatedImage
from pocketsight.train.datasets.formats.coco import read_annotation
from pocketsight.train.datasets.splits import parse_split_of_file

CLASS_NAMES_FILE = "classes.txt"  # next to the shards: names of the classes, where labels are their numbers
WILDCARDS = "*?["


class TarImage(type(Path())):  # type: ignore[misc]
    """The path of an image inside of a .tar file. Whatever reads the bytes of a Path can read it."""

    shard: str
    offset: int
    size: int

    @classmethod
    def at(cls, path: str | Path, shard: str, offset: int, size: int) -> TarImage:
        """`path` names it in messages; its bytes are `size` bytes of the file `shard` from `offset` on."""
        self = cls(path)
        self.shard, self.offset, self.size = shard, offset, size
        return self

    def read_bytes(self) -> bytes:
        with open(self.shard, "rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) < self.size:
            raise OSError(errno.EIO, f"{self.shard} is cut off", self.shard)
        return data

    def open(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(self.read_bytes())

    def __reduce__(self) -> tuple[Any, ...]:
        return TarImage.at, (str(self), self.shard, self.offset, self.size)


class Entry(NamedTuple):
    """One sample of a shard."""

    name: str  # without endings
    image: TarImage
    labels: dict[str, bytes]  # by ending, without the image


def list_shards(data: Path) -> list[Path]:
    """The .tar files of a file, a folder or a pattern such as shards/train-*.tar, sorted; [] if it has none."""
    if data.suffix == ".tar" and data.is_file():
        return [data]
    if data.is_dir():
        return sorted(data.glob("*.tar"))
    fixed = next((folder for folder in data.parents if not set(WILDCARDS) & set(str(folder))), Path())
    pattern = str(data.relative_to(fixed))
    is_pattern = data.suffix == ".tar" and bool(set(WILDCARDS) & set(pattern))
    return sorted(fixed.glob(pattern)) if is_pattern else []


def iter_entries(shard: Path) -> Iterator[Entry]:
    """The samples of a shard, without reading the images. Raises DataError when it is damaged, naming the place."""
    image: TarImage | None = None
    labels: dict[str, bytes] = {}
    current = ""
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if not member.isfile() or Path(member.name).name.startswith("."):
                    continue
                folder, slash, file = member.name.rpartition("/")
                stem, _, ending = file.partition(".")
                if (name := folder + slash + stem) != current:
                    yield from _entry(shard, current, image, labels)
                    current, image, labels = name, None, {}
                if f".{ending.lower()}" in readable_suffixes():
                    path = shard / member.name
                    image = TarImage.at(path, str(shard), member.offset_data, member.size)
                elif file_object := tar.extractfile(member):
                    labels[ending.lower()] = file_object.read()
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep all of them
        yield from _entry(shard, current, image, labels)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{shard} cannot be read as a .tar file after {current or 'its start'}: {error}") from error


def _entry(shard: Path, name: str, image: TarImage | None, labels: dict[str, bytes]) -> Iterator[Entry]:
    if image:
        yield Entry(name, image, labels)
    elif labels:
        raise DataError(f"{shard}: {name} has no image, only {', '.join(labels)}")


def read_detection_shards(shards: Sequence[Path]) -> dict[str, list[AnnotatedImage]]:
    """The images of shards by split, which the name of a shard has; "train" where it has none.

    `NAME.json` is an entry of COCO's `images` with a list `annotations` of its own, each with the name of its
    `category`. An image without one has no object. Raises DataError, naming shard and entry.
    """
    splits: dict[str, list[AnnotatedImage]] = {}
    for shard in progress_bar(shards, description="reading shards"):
        images = splits.setdefault(parse_split_of_file(shard) or "train", [])
        images += [_annotated(entry, shard) for entry in iter_entries(shard)]
    return splits


def _annotated(entry: Entry, shard: Path) -> AnnotatedImage:
    location = f"{shard}: {entry.name}.json"
    try:
        row = json.loads(entry.labels.get("json", b"{}"))
        size = (int(row["height"]), int(row["width"])) if row.get("height") and row.get("width") else None
        annotations = [
            read_annotation(note, str(note.get("category", "face")), f"{location}: annotation {n}")
            for n, note in enumerate(row.get("annotations", []))
        ]
        group, source = str(row.get("group", "")), str(row.get("source", "")) or shard.parent.name
        return AnnotatedImage(entry.image, annotations, size, group, source)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{location} is not an object with a list of annotations: {error}") from error


def read_class_shards(shards: Sequence[Path], default_split: str) -> dict[tuple[str, Path], list[Path]]:
    """The images of shards by split and class folder, as if each class had a folder next to the shards.

    `NAME.cls` has the name of the class, or its number in `classes.txt`. Raises DataError, naming shard and entry.
    """
    folders: dict[tuple[str, Path], list[Path]] = {}
    for shard in progress_bar(shards, description="reading shards"):
        split, names_file = parse_split_of_file(shard) or default_split, shard.parent / CLASS_NAMES_FILE
        names = names_file.read_text().split("\n") if names_file.is_file() else []
        for entry in iter_entries(shard):
            folder = shard.parent / _class_name(entry, shard, names)
            path = folder / f"{shard.name}:{entry.image.name}"
            image = TarImage.at(path, entry.image.shard, entry.image.offset, entry.image.size)
            folders.setdefault((split, folder), []).append(image)
    return folders


def _class_name(entry: Entry, shard: Path, names: Sequence[str]) -> str:
    text = entry.labels.get("cls", b"").decode("utf-8", "replace").strip()
    if names and text.isdecimal() and int(text) < len(names):
        text = names[int(text)].strip()
    if not text or "/" in text:
        raise DataError(f"{shard}: {entry.name} needs {entry.name}.cls with the name of its class")
    return text
