"""`pocketsight data check --fix`: bad files go to a quarantine beside the data. Nothing is deleted."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.device.errors import DataError
from pocketsight.device.files import write_json
from pocketsight.train.data.check import KINDS, MOVE, RENAME, Fault, Report
from pocketsight.train.data.fingerprint import ENDINGS
from pocketsight.train.data.readers import read_coco
from pocketsight.train.data.survey import Survey

MOVED = "moved.csv"


class Mended(NamedTuple):
    """What --fix did."""

    quarantine: Path
    moved: int  # files
    renamed: int  # files
    entries: int  # pictures taken out of COCO files


def fix(report: Report) -> Mended:
    """Move and rename what can be mended without a person.

    COCO files are written anew before a picture moves, and a picture has its new name beside the old one until its
    labels know it: cut off anywhere, nothing is lost. Raises DataError, before anything is touched, when more than half
    of the pictures would go.
    """
    found = report.survey
    away = {fault.path: fault for fault in reversed(report.faults) if KINDS[fault.kind][1] == MOVE}
    _demand_most_stay(found, away)
    wrong = {f.path: f for f in report.faults if KINDS[f.kind][1] == RENAME and f.path not in away}
    root = found.root.resolve()
    quarantine = root.parent / f"{root.name if root.is_dir() else root.stem}-quarantine"
    try:
        renamed = {path: new for path, fault in wrong.items() if (new := _second_name(fault))}
        for new in renamed.values():
            away.pop(new, None)  # it looked like a copy of the picture that it becomes
        entries = _rewrite_coco(found, set(away), renamed, quarantine)
        for path, new in renamed.items():
            _tell_labelme(wrong[path], new)
            path.unlink()
        moved = [path for fault in away.values() for path in _away(fault, found, quarantine)]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be moved to {quarantine}: {error.strerror}") from error
    return Mended(quarantine, len(moved), len(renamed), entries)


def _demand_most_stay(found: Survey, away: Mapping[Path, Fault]) -> None:
    gone = [fault for fault in away.values() if fault.item or fault.kind == "missing"]
    total = len(found.items) + len(found.missing)
    if len(gone) > max(1, total / 2):
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(f.kind for f in gone).most_common())
        raise DataError(
            f"--fix would move or take out {len(gone)} of {total} pictures ({kinds}); none was. Choose other limits "
            "(--min-bytes, --min-side), or begin with better data"
        )


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


def _second_name(fault: Fault) -> Path | None:
    """Give a picture the ending of what it holds, beside the name that it has; None where another has that name."""
    form = fault.detail.removeprefix("holds ")
    target = fault.path.with_suffix(ENDINGS[form][0])
    if not target.exists():
        shutil.copy2(fault.path, target)
    return target if target.read_bytes() == fault.path.read_bytes() else None


def _tell_labelme(fault: Fault, new: Path) -> None:
    """Write a picture's new name into its label file, by which labelme finds it."""
    if fault.item and fault.item.file:
        note = json.loads(fault.item.file.read_text())
        if "shapes" in note and "imagePath" in note:
            write_json(fault.item.file, note | {"imagePath": str(Path(note["imagePath"]).with_name(new.name))})


def _rewrite_coco(found: Survey, away: set[Path], renamed: dict[Path, Path], quarantine: Path) -> int:
    """Take the entries of moved pictures out of the COCO files, into ones of their own; write down new names.

    Returns the number of entries taken out.
    """
    taken = 0
    for file in {item.file for item in found.items if item.file} | {found.root} if found.layout == "coco" else ():
        data = json.loads(file.read_text(encoding="utf-8-sig"))
        gone = set()
        for row, picture in zip(data["images"], read_coco(file, file.parent), strict=True):
            path = Path(os.path.normpath(picture.path))
            if new := renamed.get(path):
                row["file_name"] = os.path.relpath(new, file.parent)
            elif path in away or picture.path in away:
                gone.add(row["id"])
        if gone:
            quarantine.mkdir(parents=True, exist_ok=True)
            write_json(free(quarantine / file.name), _entries(data, gone, True))
        if gone or renamed:
            write_json(file, _entries(data, gone, False))
        taken += len(gone)
    return taken


def _entries(data: dict[str, Any], ids: set[Any], inside: bool) -> dict[str, Any]:
    """A COCO file's content with the pictures in `ids` only, or without them."""
    images = [row for row in data["images"] if (row["id"] in ids) == inside]
    notes = [note for note in data["annotations"] if (note["image_id"] in ids) == inside]
    return {**data, "images": images, "annotations": notes}


def rename_labels(found: Survey, names: Mapping[str, str]) -> int:
    """Give boxes their right label, a `d` that was meant as `face`; the number of files that changed.

    Raises DataError where no box has such a label.
    """
    used = {mark.label for item in found.items for mark in item.marks}
    if strange := sorted(set(names) - used):
        raise DataError(f"no box is labelled {', '.join(strange)}; there are: {', '.join(sorted(used)) or 'none'}")
    files = {item.file for item in found.items if item.file and {mark.label for mark in item.marks} & set(names)}
    for file in sorted(files):
        data = json.loads(file.read_text(encoding="utf-8-sig"))
        rows, key = (data["categories"], "name") if found.layout == "coco" else (data["shapes"], "label")
        for row in rows:
            row[key] = names.get(str(row[key]), row[key])
        if found.layout == "coco":
            _join_categories(data)
        write_json(file, data)
    return len(files)


def _join_categories(data: dict[str, Any]) -> None:
    """One category a name."""
    first: dict[str, Any] = {}
    for row in data["categories"]:
        first.setdefault(row["name"], row)
    ids = {row["id"]: first[row["name"]]["id"] for row in data["categories"]}
    data["categories"] = list(first.values())
    for note in data["annotations"]:
        note["category_id"] = ids[note["category_id"]]


def summary(faults: Sequence[Fault]) -> dict[str, int]:
    """How many of each kind, in the order of KINDS."""
    counts = Counter(fault.kind for fault in faults)
    return {kind: counts[kind] for kind in KINDS if counts[kind]}
