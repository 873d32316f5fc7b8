"""Writers of boxes in our own two forms: one COCO file, or a folder that labelme opens. Never half of one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import AnnotatedImage


def require_new_output(out: Path, form: str) -> None:
    """Raises DataError when there is something at `out` already, or its name does not suit: "coco" writes a .json."""
    if form == "coco" and out.suffix != ".json":
        raise DataError(f"{out}: --to coco writes one file, whose name ends in .json")
    if form != "coco" and out.suffix == ".json":
        raise DataError(f"{out}: --to {form} writes a folder, not a .json file")
    if out.is_dir() and form != "coco" and not any(out.iterdir()):
        return
    if out.exists():
        raise DataError(f"{out} exists already; choose another --out, or move it away")


@contextmanager
def atomic_path(out: Path) -> Iterator[Path]:
    """A path beside `out`, not yet there, that becomes `out` when the block ends well, and goes when it does not.

    Raises DataError when the disk does not take it.
    """
    out = Path(os.path.abspath(out))  # "." has no name
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.rename(out)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise DataError(f"{out} cannot be written: {error.strerror}{where}") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def write_coco(out: Path, images: list[AnnotatedImage], label: str) -> None:
    """Write a COCO file; the pictures stay where they are, named relative to its folder. Sizes must be known."""
    home = Path(os.path.realpath(out.parent))
    rows: list[dict[str, object]] = []
    notes: list[dict[str, object]] = []
    for key, picture in enumerate(images, 1):
        height, width = picture.size or (0, 0)
        row: dict[str, object] = {
            "id": key,
            "file_name": _relative_file_name(picture.path, home),
            "width": width,
            "height": height,
        }
        rows.append(row | ({"group": picture.group} if picture.group else {}))
        for mark in picture.annotations:
            left, top, right, bottom = mark.box
            w, h = round(right - left, 3), round(bottom - top, 3)
            note = {"id": len(notes) + 1, "image_id": key, "category_id": 1, "bbox": [left, top, w, h]}
            notes.append(note | {"area": round(w * h, 3), "iscrowd": int(mark.ignore)})
    content = {"images": rows, "annotations": notes, "categories": [{"id": 1, "name": label}]}
    with atomic_path(out) as part:
        part.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _relative_file_name(path: Path, base: Path) -> str:
    """The path seen from `home`, a folder without links; absolute where nothing but the root is shared."""
    real = Path(os.path.realpath(path.parent)) / path.name  # ".." is taken literally by the system: no links before it
    shared = os.path.commonpath([real, base])
    return str(real) if shared == os.sep and base != Path(os.sep) else os.path.relpath(real, base)


def write_labelme(out: Path, images: list[AnnotatedImage]) -> None:
    """Write copies of the pictures to images/ and a file for each to labels/; their sub-folders are kept.

    labelme knows no regions to ignore: pictures with some must not come here. Sizes must be known.
    """
    with atomic_path(out) as part:
        for picture, name in progress_bar(list(zip(images, _unique_names(images), strict=True)), description="copying"):
            copy, note = part / "images" / name, part / "labels" / name.with_suffix(".json")
            copy.parent.mkdir(parents=True, exist_ok=True)
            note.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture.path, copy)
            note.write_text(json.dumps(_labelme_document(picture, os.path.relpath(copy, note.parent)), indent=2))


def _labelme_document(image: AnnotatedImage, path: str) -> dict[str, object]:
    height, width = image.size or (0, 0)
    shapes: list[dict[str, object]] = [
        {
            "label": mark.label,
            "points": [[left, top], [right, bottom]],
            "group_id": None,
            "shape_type": "rectangle",
            "flags": {},
        }
        for mark in image.annotations
        for left, top, right, bottom in [mark.box]
    ]
    return {
        "version": "5.0.1",  # labelme warns of another major version
        "flags": {},
        "shapes": shapes,
        "imagePath": path,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def _unique_names(images: list[AnnotatedImage]) -> list[Path]:
    """A name for each picture below their common folder; two that differ in suffix alone get different stems."""
    paths = [Path(os.path.abspath(picture.path)) for picture in images]
    home = os.path.commonpath([path.parent for path in paths])
    names: list[Path] = []
    taken = {path.relative_to(home).with_suffix("") for path in paths}
    used: set[Path] = set()
    for path in paths:
        name = path.relative_to(home)
        if name.with_suffix("") in used:
            stem = f"{name.stem}_{name.suffix[1:]}"
            while name.with_name(stem) in taken:
                stem += "_"
            name = name.with_name(stem + name.suffix)
            taken.add(name.with_suffix(""))
        used.add(name.with_suffix(""))
        names.append(name)
    return names


def next_free_path(path: Path) -> Path:
    """The path, or where it is taken the first free one with a number."""
    names = (path if n == 1 else path.with_stem(f"{path.stem}-{n}") for n in range(1, 10_000))
    return next(name for name in names if not name.exists())


def require_disjoint(out: Path, root: Path) -> None:
    """Raise DataError when one folder is, or lies in, the other: what is written would be read again."""
    first, second = out.resolve(), root.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise DataError(f"--out {out} and the data in {root} lie in each other; choose a folder beside it")
