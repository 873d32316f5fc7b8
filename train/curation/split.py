"""Training, validation and test parts, so that nothing in one part looks like anything in another.

The plan is written before a file is touched, and each file moves by one rename, so a split that was cut off goes on.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write, write_json
from pocketsight.train.curation.grouping import assign_splits, group_images, stratum
from pocketsight.train.curation.image_hash import read_fingerprints
from pocketsight.train.curation.scan import DatasetScan, ScannedImage
from pocketsight.train.datasets.formats.coco import read_coco
from pocketsight.train.datasets.formats.labelme import read_labelme_image
from pocketsight.train.datasets.formats.writers import require_disjoint
from pocketsight.train.datasets.splits import SPLITS

PLAN_FILE = "split.json"

SizedProgressFn = Callable[[Iterable[Any], int], Iterable[Any]]


def split(
    scan: DatasetScan,
    shares: Mapping[str, float],
    seed: int,
    out: Path | None,
    mix_sessions: bool,
    reassign: bool,
    progress: SizedProgressFn,
) -> dict[str, Any]:
    """Put each picture that has no part yet into one; returns the plan, with the number of files that were "done".

    Within the data files move; into `out` they are copied. COCO files are written anew, their pictures stay. `mix`
    ignores sessions, `again` also gives new parts to what has one. Raises DataError.
    """
    _check_splittable(scan, out)
    scan = replace(scan, images=sorted(_reattach_labels(scan), key=lambda item: _plan_name(item, scan)))
    home = PLAN_FILE if scan.layout != "coco" else f"{scan.root.stem}_{PLAN_FILE}"
    root = out or (scan.root.parent if scan.layout == "coco" else scan.root)
    before = read_split_plan(root / home)
    if reassign and out and before["pictures"]:
        raise DataError(f"{out} holds an earlier split; --reassign needs another --out")
    prints = list(progress(read_fingerprints([item.path for item in scan.images]), len(scan.images)))
    names = [_plan_name(item, scan) for item in scan.images]
    parts = [""] * len(names) if reassign else _current_splits(scan, names, before)
    groups = group_images(scan.images, prints, parts, mix_sessions)
    assign_splits(groups, shares, seed)
    for group in groups:
        for n in group.indices:
            parts[n] = parts[n] or group.split
    pictures = {
        name: {"part": part, "sha256": seen.sha256} for name, part, seen in zip(names, parts, prints, strict=True)
    }
    plan = {"unfinished": False, "seed": seed, "shares": dict(shares), "pictures": pictures}
    moves = [] if scan.layout == "coco" else _plan_moves(scan, parts, root, copy=out is not None)
    _check_no_overwrite(moves, {root / row["part"] for row in before["pictures"].values()} if out else set())
    if moves:
        write_json(root / home, plan | {"unfinished": True})
    for source, target in progress(moves, len(moves)):
        _place_file(source, target, copy=out is not None)
    done = len(moves) + (_write_coco_splits(scan, parts, root, not before["pictures"]) if scan.layout == "coco" else 0)
    if moves or pictures != before["pictures"] or before["unfinished"]:
        write_json(root / home, plan)
    return plan | {"done": done, "counts": _count_by_split(scan.images, parts)}


def _check_splittable(scan: DatasetScan, out: Path | None) -> None:
    """Raise DataError where a split could only do harm."""
    unlabelled = (
        scan.layout == "labelme" and not scan.orphan_labels and not any(item.label_file for item in scan.images)
    )
    if scan.layout == "pictures" or unlabelled:
        raise DataError(f"{scan.root} has neither labels nor class folders; label it first: pocketsight data label")
    if scan.layout == "coco":
        return
    root = scan.root.resolve()
    if out:
        require_disjoint(out, root)
        return
    for item in scan.images:
        if item.path.is_symlink() or not item.path.resolve().is_relative_to(root):
            raise DataError(f"{item.path} is a link, or lies behind one; copy instead of moving, by --out FOLDER")


def _reattach_labels(scan: DatasetScan) -> Iterator[ScannedImage]:
    """The items, those with their labels too whose file moved on alone when a split was cut off."""
    strays = {
        stray.relative_to(tree).with_suffix(""): stray
        for stray in scan.orphan_labels
        for tree in [next(parent for parent in stray.parents if parent.name == "labels")]
    }
    for item in scan.images:
        stray = None if item.label_file else strays.get(scan.relative_path(item).with_suffix(""))
        yield (
            replace(item, label_file=stray, annotations=read_labelme_image(item.path, stray).annotations)
            if stray
            else item
        )


def _current_splits(scan: DatasetScan, names: Sequence[str], previous_plan: dict[str, Any]) -> list[str]:
    """The part that each picture has already: by where it lies, or by a plan that was not carried out to its end."""
    planned = {name: row["part"] for name, row in previous_plan["pictures"].items()}
    lying = ["" if scan.layout == "coco" else item.split for item in scan.images]
    if previous_plan["unfinished"]:
        return [planned.get(name) or part for name, part in zip(names, lying, strict=True)]
    return [part or planned.get(name, "") for name, part in zip(names, lying, strict=True)]


def read_split_plan(path: Path) -> dict[str, Any]:
    """The plan of an earlier split; one without pictures where there was none."""
    if not path.exists():
        return {"unfinished": False, "pictures": {}}
    try:
        plan: dict[str, Any] = json.loads(path.read_text())
        plan.setdefault("unfinished", False)
        for row in plan["pictures"].values():
            if row["part"] not in SPLITS:
                raise ValueError(f"part {row['part']!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not the plan of a split ({error!r}); move it away to split anew") from error
    return plan


def _plan_name(image: ScannedImage, scan: DatasetScan) -> str:
    """A picture's name in the plan, the same before and after it has moved."""
    return (Path(image.class_name) / scan.relative_path(image)).as_posix()


def _plan_moves(scan: DatasetScan, splits: Sequence[str], root: Path, copy: bool) -> list[tuple[Path, Path]]:
    """From where to where each file goes, labels before their picture; those that are there already left out."""
    moves = []
    for item, part in zip(scan.images, splits, strict=True):
        inner = scan.relative_path(item)
        if scan.layout == "labelme":
            if item.label_file:
                moves.append((item.label_file, root / part / "labels" / inner.with_suffix(".json")))
            moves.append((item.path, root / part / "images" / inner))
        else:
            moves.append((item.path, root / part / item.class_name / inner))
    return [
        (source, target) for source, target in moves if source != target and not (copy and _is_copied(source, target))
    ]


def _is_copied(source: Path, target: Path) -> bool:
    """Whether a copy of an earlier split is in place."""
    return target.exists() and target.read_bytes() == source.read_bytes()


def _check_no_overwrite(moves: Sequence[tuple[Path, Path]], own_folders: set[Path]) -> None:
    """Raise DataError when two files would become one. Below `ours` stand copies of an earlier split, to be renewed."""
    counts = Counter(target for _, target in moves)
    sources = {source for source, _ in moves}
    for _, target in moves:
        old = target.exists() and target not in sources and not own_folders & set(target.parents)
        if counts[target] > 1 or old:
            raise DataError(f"{target} would be overwritten; rename one of the files of that name. Nothing was moved")


def _place_file(source: Path, target: Path, copy: bool) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy:
            part = target.with_name(f".{target.name}.part")
            shutil.copy2(source, part)
            os.replace(part, target)
        else:
            os.rename(source, target)
    except OSError as error:
        cure = "copy instead, by --out FOLDER" if error.errno == errno.EXDEV else "then run the same command again"
        raise DataError(f"{target} cannot be written: {error.strerror}; {cure}") from error


def _write_coco_splits(scan: DatasetScan, splits: Sequence[str], root: Path, is_first_split: bool) -> int:
    """One COCO file a part, none for a part without pictures; the number of files that changed."""
    data = json.loads(scan.root.read_text(encoding="utf-8-sig"))
    homes = {item.path: part for item, part in zip(scan.images, splits, strict=True)}
    read = [Path(os.path.normpath(picture.path)) for picture in read_coco(scan.root, scan.root.parent)]
    listed = [(row, path, homes.get(path)) for row, path in zip(data["images"], read, strict=True)]
    changed: dict[Path, str | None] = {}
    for name in SPLITS:
        rows = [{**row, "file_name": os.path.relpath(path, root)} for row, path, part in listed if part == name]
        ids = {row["id"] for row in rows}
        notes = [note for note in data["annotations"] if note["image_id"] in ids]
        target = root / f"{scan.root.stem}_{name}.json"
        text = json.dumps({**data, "images": rows, "annotations": notes}) if rows else None
        if text != (target.read_text() if target.exists() else None):
            changed[target] = text
    there = [target for target in changed if target.exists()]
    if is_first_split and there:
        raise DataError(f"{there[0]} would be overwritten; move it away, or choose another --out. Nothing was written")
    for target, text in changed.items():
        if text:
            atomic_write(target, text)
        else:
            target.unlink()
    return len(changed)


def _count_by_split(images: Sequence[ScannedImage], splits: Sequence[str]) -> dict[str, dict[str, int]]:
    """Pictures by part and class."""
    rows: dict[str, Counter[str]] = {part: Counter() for part in SPLITS}
    for item, part in zip(images, splits, strict=True):
        rows[part][stratum(item)] += 1
    return {part: dict(sorted(counts.items())) for part, counts in rows.items() if counts}
