"""`pocketsight data check --fix`: moves bad files to a quarantine folder next to the data. Nothing is deleted."""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import write_json
from pocketsight.train.curation.check import ISSUE_TYPES, MOVE, RENAME, CheckReport, Issue
from pocketsight.train.curation.image_hash import EXTENSIONS
from pocketsight.train.curation.scan import DatasetScan
from pocketsight.train.datasets.formats.coco import find_own_images
from pocketsight.train.datasets.formats.layout import read_json
from pocketsight.train.datasets.formats.writers import next_free_path

MOVED_TABLE = "moved.csv"  # columns: old path, new path, issue type, detail
MAX_REMOVED_SHARE = 0.5  # of the images; --fix refuses to move more


class FixResult(NamedTuple):
    """What --fix did. The field names are keys of the JSON report."""

    quarantine: Path
    moved: int  # files
    renamed: int  # files
    removed_entries: int  # images removed from COCO files


def fix(report: CheckReport) -> FixResult:
    """Move and rename everything that needs no decision by a person.

    COCO files are rewritten before an image moves. A renamed image keeps its old name too until its labels name the
    new one. So an interruption loses nothing. Raises DataError, before any change, when more than half of the images
    would be moved.
    """
    scan = report.scan
    removals = {issue.path: issue for issue in reversed(report.issues) if ISSUE_TYPES[issue.type][1] == MOVE}
    _limit_removals(scan, removals)
    renames = {i.path: i for i in report.issues if ISSUE_TYPES[i.type][1] == RENAME and i.path not in removals}
    root = scan.root.resolve()
    quarantine = root.parent / f"{root.name if root.is_dir() else root.stem}-quarantine"
    try:
        renamed = {path: new for path, issue in renames.items() if (new := _copy_with_right_extension(issue))}
        for new in renamed.values():
            removals.pop(new, None)  # it was reported as a copy of the image that is renamed to it
        removed_entries = _rewrite_coco_files(scan, set(removals), renamed, quarantine)
        for path, new in renamed.items():
            _update_labelme_path(renames[path], new)
            path.unlink()
        moved = [path for issue in removals.values() for path in _move_to_quarantine(issue, scan, quarantine)]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be moved to {quarantine}: {error.strerror}") from error
    return FixResult(quarantine, len(moved), len(renamed), removed_entries)


def _limit_removals(scan: DatasetScan, removals: Mapping[Path, Issue]) -> None:
    """Raises DataError when too many images would be moved."""
    removed = [issue for issue in removals.values() if issue.image or issue.type == "missing"]
    total = len(scan.images) + len(scan.missing_images)
    if len(removed) > max(1, total * MAX_REMOVED_SHARE):
        counts = Counter(issue.type for issue in removed).most_common()
        raise DataError(
            f"--fix would remove {len(removed)} of {total} images "
            f"({', '.join(f'{count} {issue_type}' for issue_type, count in counts)}); nothing was changed. "
            "Choose another --min-side, or start with better data"
        )


def _move_to_quarantine(issue: Issue, scan: DatasetScan, quarantine: Path) -> list[Path]:
    """Move an image with its labels, or a label file, and return the old paths. moved.csv records each move."""
    files = [issue.path]
    if scan.layout == "labelme" and issue.image and issue.image.label_file:
        files.append(issue.image.label_file)
    base = scan.root.parent if scan.layout == "coco" else scan.root
    moved: list[Path] = []
    for path in files:
        if not path.exists():
            continue
        inner = path.relative_to(base) if path.is_relative_to(base) else Path(path.name)
        target = next_free_path(quarantine / inner)
        target.parent.mkdir(parents=True, exist_ok=True)
        # The record comes first, so that no moved file is missing from the table.
        with (quarantine / MOVED_TABLE).open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
            csv.writer(file).writerow([path, target, issue.type, issue.detail])
        shutil.move(path, target)
        moved.append(path)
    return moved


def _copy_with_right_extension(issue: Issue) -> Path | None:
    """Copy an image to a name with the extension of its format. None when another file has that name."""
    image_format = issue.detail.removeprefix("holds ")
    target = issue.path.with_suffix(EXTENSIONS[image_format][0])
    if not target.exists():
        shutil.copy2(issue.path, target)
    return target if target.read_bytes() == issue.path.read_bytes() else None


def _update_labelme_path(issue: Issue, new_path: Path) -> None:
    """Write the new name of an image into its label file: labelme finds the image by it."""
    if not (issue.image and issue.image.label_file):
        return
    content = read_json(issue.image.label_file)
    if "shapes" in content and "imagePath" in content:
        image_path = str(Path(content["imagePath"]).with_name(new_path.name))
        write_json(issue.image.label_file, content | {"imagePath": image_path})


def _rewrite_coco_files(scan: DatasetScan, removals: set[Path], renamed: dict[Path, Path], quarantine: Path) -> int:
    """Move the entries of removed images to COCO files in the quarantine, and write the new names of renamed ones.

    Returns the number of removed entries.
    """
    if scan.layout != "coco":
        return 0
    removed_entries = 0
    for file in {image.label_file for image in scan.images if image.label_file} | {scan.root}:
        content = read_json(file)
        removed_ids = set()
        for row, named in zip(content["images"], find_own_images(content, file), strict=True):
            path = Path(os.path.normpath(named))
            if new := renamed.get(path):
                row["file_name"] = os.path.relpath(new, file.parent)
            elif path in removals or named in removals:
                removed_ids.add(row["id"])
        if removed_ids:
            quarantine.mkdir(parents=True, exist_ok=True)
            write_json(next_free_path(quarantine / file.name), _select_entries(content, removed_ids, True))
        if removed_ids or renamed:
            write_json(file, _select_entries(content, removed_ids, False))
        removed_entries += len(removed_ids)
    return removed_entries


def _select_entries(content: dict[str, Any], ids: set[Any], keep: bool) -> dict[str, Any]:
    """The content of a COCO file with only the images in `ids` (`keep`), or without them."""
    images = [row for row in content["images"] if (row["id"] in ids) == keep]
    annotations = [row for row in content["annotations"] if (row["image_id"] in ids) == keep]
    return {**content, "images": images, "annotations": annotations}


def rename_labels(scan: DatasetScan, new_names: Mapping[str, str]) -> int:
    """Rename labels, for example `d` that was meant as `face`, and return the number of changed files.

    `new_names` maps old labels to new ones. Raises DataError when no box has such a label.
    """
    used = {annotation.label for image in scan.images for annotation in image.annotations}
    if unknown := sorted(set(new_names) - used):
        raise DataError(f"no box is labeled {', '.join(unknown)}; labels: {', '.join(sorted(used)) or 'none'}")
    files = {
        image.label_file
        for image in scan.images
        if image.label_file and {annotation.label for annotation in image.annotations} & set(new_names)
    }
    for file in sorted(files):
        content = read_json(file)
        rows, key = (content["categories"], "name") if scan.layout == "coco" else (content["shapes"], "label")
        for row in rows:
            row[key] = new_names.get(str(row[key]), row[key])
        if scan.layout == "coco":
            _merge_categories(content)
        write_json(file, content)
    return len(files)


def _merge_categories(content: dict[str, Any]) -> None:
    """Merge the categories of one name, in place."""
    first: dict[str, Any] = {}
    for row in content["categories"]:
        first.setdefault(row["name"], row)
    ids = {row["id"]: first[row["name"]]["id"] for row in content["categories"]}
    content["categories"] = list(first.values())
    for row in content["annotations"]:
        row["category_id"] = ids[row["category_id"]]
