"""Writers of COCO files and labelme folders. A failed write leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_path, atomic_write
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.formats.base import AnnotatedImage


def require_new_output(out: Path, target_format: str) -> None:
    """Raises DataError when `out` exists (an empty folder is fine), or its name does not fit the format."""
    if target_format == "coco" and out.suffix != ".json":
        raise DataError(f"{out}: --to coco writes one file, whose name ends in .json")
    if target_format != "coco" and out.suffix == ".json":
        raise DataError(f"{out}: --to {target_format} writes a folder, not a .json file")
    if out.is_dir() and target_format != "coco" and not any(out.iterdir()):
        return
    if out.exists():
        raise DataError(f"{out} exists already; choose another --out, or move it away")


def write_coco(out: Path, images: list[AnnotatedImage], labels: Sequence[str]) -> None:
    """Write a COCO file with paths relative to its folder; the image files stay. The sizes must be known.

    Raises DataError.
    """
    base = Path(os.path.realpath(out.parent))
    categories = {label: number for number, label in enumerate(labels, 1)}
    rows: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, image in enumerate(images, 1):
        height, width = image.size or (0, 0)
        name = _relative_file_name(image.path, base)
        row: dict[str, object] = {"id": image_id, "file_name": name, "width": width, "height": height}
        rows.append(row | ({"group": image.group} if image.group else {}))
        for annotation in image.annotations:
            left, top, right, bottom = annotation.box
            w, h = round(right - left, 3), round(bottom - top, 3)
            category = categories[annotation.label]
            note = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": category,
                "bbox": [left, top, w, h],
            }
            annotations.append(note | {"area": round(w * h, 3), "iscrowd": int(annotation.ignore)})
    names = [{"id": number, "name": label} for label, number in categories.items()]
    content = {"images": rows, "annotations": annotations, "categories": names}
    atomic_write(out, json.dumps(content, separators=(",", ":")))


def _relative_file_name(path: Path, base: Path) -> str:
    """The path relative to `base`, a folder without links; absolute if they share nothing but the root."""
    # The system resolves ".." after links, so no link may come before it.
    real = Path(os.path.realpath(path.parent)) / path.name
    shared = os.path.commonpath([real, base])
    return str(real) if shared == os.sep and base != Path(os.sep) else os.path.relpath(real, base)


def write_labelme(out: Path, images: list[AnnotatedImage]) -> None:
    """Copy the images to images/, and write one file for each to labels/. Subfolders are kept.

    labelme has no boxes to ignore: the images must have none. The sizes must be known. Raises DataError.
    """
    with atomic_path(out) as folder:
        for image, name in progress_bar(list(zip(images, _unique_names(images), strict=True)), description="copying"):
            copy, label_file = folder / "images" / name, folder / "labels" / name.with_suffix(".json")
            copy.parent.mkdir(parents=True, exist_ok=True)
            label_file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image.path, copy)
            document = labelme_document(image, os.path.relpath(copy, label_file.parent))
            label_file.write_text(json.dumps(document, indent=2), encoding="utf-8")


def labelme_document(image: AnnotatedImage, path: str) -> dict[str, object]:
    """The content of a labelme file. `path` is that of the image, from the folder of the file."""
    height, width = image.size or (0, 0)
    shapes: list[dict[str, object]] = [
        {
            "label": annotation.label,
            "points": [[left, top], [right, bottom]],
            "group_id": None,
            "shape_type": "rectangle",
            "flags": {},
        }
        for annotation in image.annotations
        for left, top, right, bottom in [annotation.box]
    ]
    return {
        "version": "5.0.1",  # labelme warns about another major version
        "flags": {},
        "shapes": shapes,
        "imagePath": path,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def _unique_names(images: list[AnnotatedImage]) -> list[Path]:
    """The path of each image below their common folder. Images that differ only in suffix get different stems."""
    paths = [Path(os.path.abspath(image.path)) for image in images]
    base = os.path.commonpath([path.parent for path in paths])
    names: list[Path] = []
    reserved = {path.relative_to(base).with_suffix("") for path in paths}
    used: set[Path] = set()
    for path in paths:
        name = path.relative_to(base)
        if name.with_suffix("") in used:
            stem = f"{name.stem}_{name.suffix[1:]}"
            while name.with_name(stem) in reserved:
                stem += "_"
            name = name.with_name(stem + name.suffix)
            reserved.add(name.with_suffix(""))
        used.add(name.with_suffix(""))
        names.append(name)
    return names


def next_free_path(path: Path) -> Path:
    """The path if it does not exist, else the first free one of NAME-2, NAME-3, ..."""
    names = (path if n == 1 else path.with_stem(f"{path.stem}-{n}") for n in range(1, 10_000))
    return next(name for name in names if not name.exists())


def require_disjoint(out: Path, root: Path) -> None:
    """Raises DataError when one folder contains the other: the output would be read as input later."""
    first, second = out.resolve(), root.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise DataError(f"--out {out} and the data in {root} overlap; choose a folder outside of it")
