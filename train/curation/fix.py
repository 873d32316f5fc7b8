"""`pocketsight data check --fix`: bad files go to a quarantine beside the data. Nothing is deleted."""

from __future__ import annotations

import csv
import json
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
from pocketsight.train.datasets.formats.coco import read_coco
from pocketsight.train.datasets.formats.writers import next_free_path

MOVED_TABLE = "moved.csv"


class FixResult(NamedTuple):
    """What --fix did."""

    quarantine: Path
    moved: int  # files
    renamed: int  # files
    entries: int  # pictures taken out of COCO files


def fix(report: CheckReport) -> FixResult:
    """Move and rename what can be mended without a person.

    COCO files are written anew before a picture moves, and a picture has its new name beside the old one until its
    labels know it: cut off anywhere, nothing is lost. Raises DataError, before anything is touched, when more than half
    of the pictures would go.
    """
    found = report.scan
    away = {fault.path: fault for fault in reversed(report.issues) if ISSUE_TYPES[fault.type][1] == MOVE}
    _limit_removals(found, away)
    wrong = {f.path: f for f in report.issues if ISSUE_TYPES[f.type][1] == RENAME and f.path not in away}
    root = found.root.resolve()
    quarantine = root.parent / f"{root.name if root.is_dir() else root.stem}-quarantine"
    try:
        renamed = {path: new for path, fault in wrong.items() if (new := _copy_with_right_extension(fault))}
        for new in renamed.values():
            away.pop(new, None)  # it looked like a copy of the picture that it becomes
        entries = _rewrite_coco(found, set(away), renamed, quarantine)
        for path, new in renamed.items():
            _update_labelme_path(wrong[path], new)
            path.unlink()
        moved = [path for fault in away.values() for path in _move_to_quarantine(fault, found, quarantine)]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be moved to {quarantine}: {error.strerror}") from error
    return FixResult(quarantine, len(moved), len(renamed), entries)


def _limit_removals(scan: DatasetScan, removals: Mapping[Path, Issue]) -> None:
    gone = [fault for fault in removals.values() if fault.image or fault.type == "missing"]
    total = len(scan.images) + len(scan.missing_images)
    if len(gone) > max(1, total / 2):
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(f.type for f in gone).most_common())
        raise DataError(
            f"--fix would move or take out {len(gone)} of {total} pictures ({kinds}); none was. Choose other limits "
            "(--min-bytes, --min-side), or begin with better data"
        )


def _move_to_quarantine(issue: Issue, scan: DatasetScan, quarantine: Path) -> list[Path]:
    """Move a picture with its labels, or a label file; what was moved. moved.csv says where each file was, and why."""
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
        with (quarantine / MOVED_TABLE).open("a", newline="") as file:  # first, so that no file is where nobody knows
            csv.writer(file).writerow([path, target, issue.type, issue.detail])
        shutil.move(path, target)
        moved.append(path)
    return moved


def _copy_with_right_extension(issue: Issue) -> Path | None:
    """Give a picture the ending of what it holds, beside the name that it has; None where another has that name."""
    form = issue.detail.removeprefix("holds ")
    target = issue.path.with_suffix(EXTENSIONS[form][0])
    if not target.exists():
        shutil.copy2(issue.path, target)
    return target if target.read_bytes() == issue.path.read_bytes() else None


def _update_labelme_path(issue: Issue, new_path: Path) -> None:
    """Write a picture's new name into its label file, by which labelme finds it."""
    if issue.image and issue.image.label_file:
        note = json.loads(issue.image.label_file.read_text())
        if "shapes" in note and "imagePath" in note:
            write_json(
                issue.image.label_file, note | {"imagePath": str(Path(note["imagePath"]).with_name(new_path.name))}
            )


def _rewrite_coco(scan: DatasetScan, removals: set[Path], renamed: dict[Path, Path], quarantine: Path) -> int:
    """Take the entries of moved pictures out of the COCO files, into ones of their own; write down new names.

    Returns the number of entries taken out.
    """
    taken = 0
    for file in (
        {item.label_file for item in scan.images if item.label_file} | {scan.root} if scan.layout == "coco" else ()
    ):
        data = json.loads(file.read_text(encoding="utf-8-sig"))
        gone = set()
        for row, picture in zip(data["images"], read_coco(file, file.parent), strict=True):
            path = Path(os.path.normpath(picture.path))
            if new := renamed.get(path):
                row["file_name"] = os.path.relpath(new, file.parent)
            elif path in removals or picture.path in removals:
                gone.add(row["id"])
        if gone:
            quarantine.mkdir(parents=True, exist_ok=True)
            write_json(next_free_path(quarantine / file.name), _select_entries(data, gone, True))
        if gone or renamed:
            write_json(file, _select_entries(data, gone, False))
        taken += len(gone)
    return taken


def _select_entries(data: dict[str, Any], ids: set[Any], keep: bool) -> dict[str, Any]:
    """A COCO file's content with the pictures in `ids` only, or without them."""
    images = [row for row in data["images"] if (row["id"] in ids) == keep]
    notes = [note for note in data["annotations"] if (note["image_id"] in ids) == keep]
    return {**data, "images": images, "annotations": notes}


def rename_labels(scan: DatasetScan, new_names: Mapping[str, str]) -> int:
    """Give boxes their right label, a `d` that was meant as `face`; the number of files that changed.

    Raises DataError where no box has such a label.
    """
    used = {mark.label for item in scan.images for mark in item.annotations}
    if strange := sorted(set(new_names) - used):
        raise DataError(f"no box is labelled {', '.join(strange)}; there are: {', '.join(sorted(used)) or 'none'}")
    files = {
        item.label_file
        for item in scan.images
        if item.label_file and {mark.label for mark in item.annotations} & set(new_names)
    }
    for file in sorted(files):
        data = json.loads(file.read_text(encoding="utf-8-sig"))
        rows, key = (data["categories"], "name") if scan.layout == "coco" else (data["shapes"], "label")
        for row in rows:
            row[key] = new_names.get(str(row[key]), row[key])
        if scan.layout == "coco":
            _merge_categories(data)
        write_json(file, data)
    return len(files)


def _merge_categories(data: dict[str, Any]) -> None:
    """One category a name."""
    first: dict[str, Any] = {}
    for row in data["categories"]:
        first.setdefault(row["name"], row)
    ids = {row["id"]: first[row["name"]]["id"] for row in data["categories"]}
    data["categories"] = list(first.values())
    for note in data["annotations"]:
        note["category_id"] = ids[note["category_id"]]
