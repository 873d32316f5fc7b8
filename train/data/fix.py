"""`edgekit data check --fix`: bad files go to a quarantine beside the data. Nothing is deleted."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.device.errors import DataError
from edgekit.train.data.check import KINDS, MOVE, RENAME, Fault, Report
from edgekit.train.data.fingerprint import ENDINGS
from edgekit.train.data.survey import Survey

MOVED = "moved.csv"


def fix(report: Report) -> tuple[Path, int, int]:
    """Move and rename what can be mended without a person. Returns the quarantine, files moved, files renamed.

    Raises DataError, before anything is touched, when more than half of the pictures would go.
    """
    found = report.survey
    away = {fault.path: fault for fault in reversed(report.faults) if KINDS[fault.kind][1] == MOVE}
    wrong = {f.path: f for f in report.faults if KINDS[f.kind][1] == RENAME and f.path not in away}
    gone = [fault for fault in away.values() if fault.item]
    if len(gone) > max(1, len(found.items) / 2):
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(f.kind for f in gone).most_common())
        raise DataError(
            f"--fix would move {len(gone)} of {len(found.items)} pictures ({kinds}); "
            "nothing was done. Choose other limits (--min-bytes, --min-side, --labels), or begin with better data"
        )
    quarantine = found.root.parent / f"{found.root.stem}-quarantine"
    try:
        moved = [path for fault in away.values() for path in _away(fault, found, quarantine)]
        renamed = {path: _renamed(fault) for path, fault in wrong.items()}
        _rewrite_coco(found, set(away), renamed, quarantine)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be moved to {quarantine}: {error.strerror}") from error
    return quarantine, len(moved), len(renamed)


def _away(fault: Fault, found: Survey, quarantine: Path) -> list[Path]:
    """Move a picture with its labels, or a label file; what was moved. moved.csv says where each file was, and why."""
    files = [fault.path]
    if found.layout == "labelme" and fault.item and fault.item.file:
        files.append(fault.item.file)
    base = found.root.parent if found.layout == "coco" else found.root
    moved: list[Path] = []
    for path in files:
        if not path.exists():
            continue
        inner = path.relative_to(base) if path.is_relative_to(base) else Path(path.name)
        target = free(quarantine / inner)
        target.parent.mkdir(parents=True, exist_ok=True)
        with (quarantine / MOVED).open("a", newline="") as file:  # first, so that no file is where nobody knows
            csv.writer(file).writerow([path, target, fault.kind, fault.detail])
        shutil.move(path, target)
        moved.append(path)
    return moved


def free(path: Path) -> Path:
    """The path, or where it is taken the first free one with a number."""
    names = (path if n == 1 else path.with_stem(f"{path.stem}-{n}") for n in range(1, 10_000))
    return next(name for name in names if not name.exists())


def _renamed(fault: Fault) -> Path:
    """Give a picture the ending of what it holds; its label file has no ending of its own."""
    form = fault.detail.removeprefix("holds ")
    target = free(fault.path.with_suffix(ENDINGS[form][0]))
    fault.path.rename(target)
    return target


def _rewrite_coco(found: Survey, away: set[Path], renamed: dict[Path, Path], quarantine: Path) -> None:
    """Take the entries of moved pictures out of the COCO files, into ones of their own; write down new names."""
    if found.layout != "coco":
        return
    for file in {item.file for item in found.items if item.file} | {found.root}:
        data = json.loads(file.read_text())
        for row in data["images"]:
            if new := renamed.get(file.parent / row["file_name"]):
                row["file_name"] = str(Path(row["file_name"]).with_name(new.name))
        gone = {row["id"] for row in data["images"] if file.parent / row["file_name"] in away}
        if gone:
            quarantine.mkdir(parents=True, exist_ok=True)
            _write_json(free(quarantine / file.name), _entries(data, gone, True))
        if gone or renamed:
            _write_json(file, _entries(data, gone, False))


def _entries(data: dict[str, Any], ids: set[Any], inside: bool) -> dict[str, Any]:
    """A COCO file's content with the pictures in `ids` only, or without them."""
    images = [row for row in data["images"] if (row["id"] in ids) == inside]
    notes = [note for note in data["annotations"] if (note["image_id"] in ids) == inside]
    return {**data, "images": images, "annotations": notes}


def rename_labels(found: Survey, names: Mapping[str, str]) -> int:
    """Give boxes their right label, a `d` that was meant as `face`; the number of files that changed."""
    files = {item.file for item in found.items if item.file and item.path not in found.unread}
    changed = 0
    for file in sorted(files):
        data = json.loads(file.read_text())
        rows, key = (data["categories"], "name") if found.layout == "coco" else (data["shapes"], "label")
        wrong = [row for row in rows if row[key] in names]
        for row in wrong:
            row[key] = names[row[key]]
        if found.layout == "coco" and wrong:
            _join_categories(data)
        try:
            if wrong:
                _write_json(file, data)
        except OSError as error:
            raise DataError(f"{file} cannot be written: {error.strerror}") from error
        changed += bool(wrong)
    return changed


def _join_categories(data: dict[str, Any]) -> None:
    """One category a name."""
    first: dict[str, Any] = {}
    for row in data["categories"]:
        first.setdefault(row["name"], row)
    ids = {row["id"]: first[row["name"]]["id"] for row in data["categories"]}
    data["categories"] = list(first.values())
    for note in data["annotations"]:
        note["category_id"] = ids[note["category_id"]]


def _write_json(path: Path, data: Any) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(data))
    os.replace(part, path)


def summary(faults: Sequence[Fault]) -> dict[str, int]:
    """How many of each kind, in the order of KINDS."""
    counts = Counter(fault.kind for fault in faults)
    return {kind: counts[kind] for kind in KINDS if counts[kind]}
