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
from pocketsight.device.files import write_json, write_whole
from pocketsight.train.data.fingerprint import fingerprints
from pocketsight.train.data.groups import assign, grouped, stratum
from pocketsight.train.data.readers import labelme_picture, read_coco
from pocketsight.train.data.survey import Item, Survey
from pocketsight.train.expressions import PARTS

PLAN = "split.json"

Track = Callable[[Iterable[Any], int], Iterable[Any]]


def split(
    found: Survey, shares: Mapping[str, float], seed: int, out: Path | None, mix: bool, again: bool, track: Track
) -> dict[str, Any]:
    """Put each picture that has no part yet into one; returns the plan, with the number of files that were "done".

    Within the data files move; into `out` they are copied. COCO files are written anew, their pictures stay. `mix`
    ignores sessions, `again` also gives new parts to what has one. Raises DataError.
    """
    _refuse(found, out)
    found = replace(found, items=sorted(_rejoined(found), key=lambda item: _name(item, found)))
    home = PLAN if found.layout != "coco" else f"{found.root.stem}_{PLAN}"
    root = out or (found.root.parent if found.layout == "coco" else found.root)
    before = read_plan(root / home)
    if again and out and before["pictures"]:
        raise DataError(f"{out} holds an earlier split; --again needs another --out")
    prints = list(track(fingerprints([item.path for item in found.items]), len(found.items)))
    names = [_name(item, found) for item in found.items]
    parts = [""] * len(names) if again else _parts(found, names, before)
    groups = grouped(found.items, prints, parts, mix)
    assign(groups, shares, seed)
    for group in groups:
        for n in group.items:
            parts[n] = parts[n] or group.part
    pictures = {
        name: {"part": part, "sha256": seen.sha256} for name, part, seen in zip(names, parts, prints, strict=True)
    }
    plan = {"unfinished": False, "seed": seed, "shares": dict(shares), "pictures": pictures}
    moves = [] if found.layout == "coco" else _moves(found, parts, root, copy=out is not None)
    _refuse_clashes(moves, {root / row["part"] for row in before["pictures"].values()} if out else set())
    if moves:
        write_json(root / home, plan | {"unfinished": True})
    for source, target in track(moves, len(moves)):
        _put(source, target, copy=out is not None)
    done = len(moves) + (_write_coco(found, parts, root, not before["pictures"]) if found.layout == "coco" else 0)
    if moves or pictures != before["pictures"] or before["unfinished"]:
        write_json(root / home, plan)
    return plan | {"done": done, "counts": _counts(found.items, parts)}


def _refuse(found: Survey, out: Path | None) -> None:
    """Raise DataError where a split could only do harm."""
    unlabelled = found.layout == "labelme" and not found.strays and not any(item.file for item in found.items)
    if found.layout == "pictures" or unlabelled:
        raise DataError(f"{found.root} has neither labels nor class folders; label it first: pocketsight data label")
    if found.layout == "coco":
        return
    root = found.root.resolve()
    if out:
        apart(out, root)
        return
    for item in found.items:
        if item.path.is_symlink() or not item.path.resolve().is_relative_to(root):
            raise DataError(f"{item.path} is a link, or lies behind one; copy instead of moving, by --out FOLDER")


def _rejoined(found: Survey) -> Iterator[Item]:
    """The items, those with their labels too whose file moved on alone when a split was cut off."""
    strays = {
        stray.relative_to(tree).with_suffix(""): stray
        for stray in found.strays
        for tree in [next(parent for parent in stray.parents if parent.name == "labels")]
    }
    for item in found.items:
        stray = None if item.file else strays.get(found.inner(item).with_suffix(""))
        yield replace(item, file=stray, marks=labelme_picture(item.path, stray).marks) if stray else item


def apart(out: Path, root: Path) -> None:
    """Raise DataError when one folder is, or lies in, the other: what is written would be read again."""
    first, second = out.resolve(), root.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise DataError(f"--out {out} and the data in {root} lie in each other; choose a folder beside it")


def _parts(found: Survey, names: Sequence[str], before: dict[str, Any]) -> list[str]:
    """The part that each picture has already: by where it lies, or by a plan that was not carried out to its end."""
    planned = {name: row["part"] for name, row in before["pictures"].items()}
    lying = ["" if found.layout == "coco" else item.part for item in found.items]
    if before["unfinished"]:
        return [planned.get(name) or part for name, part in zip(names, lying, strict=True)]
    return [part or planned.get(name, "") for name, part in zip(names, lying, strict=True)]


def read_plan(path: Path) -> dict[str, Any]:
    """The plan of an earlier split; one without pictures where there was none."""
    if not path.exists():
        return {"unfinished": False, "pictures": {}}
    try:
        plan: dict[str, Any] = json.loads(path.read_text())
        plan.setdefault("unfinished", False)
        for row in plan["pictures"].values():
            if row["part"] not in PARTS:
                raise ValueError(f"part {row['part']!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not the plan of a split ({error!r}); move it away to split anew") from error
    return plan


def _name(item: Item, found: Survey) -> str:
    """A picture's name in the plan, the same before and after it has moved."""
    return (Path(item.kind) / found.inner(item)).as_posix()


def _moves(found: Survey, parts: Sequence[str], root: Path, copy: bool) -> list[tuple[Path, Path]]:
    """From where to where each file goes, labels before their picture; those that are there already left out."""
    moves = []
    for item, part in zip(found.items, parts, strict=True):
        inner = found.inner(item)
        if found.layout == "labelme":
            if item.file:
                moves.append((item.file, root / part / "labels" / inner.with_suffix(".json")))
            moves.append((item.path, root / part / "images" / inner))
        else:
            moves.append((item.path, root / part / item.kind / inner))
    return [(source, target) for source, target in moves if source != target and not (copy and _there(source, target))]


def _there(source: Path, target: Path) -> bool:
    """Whether a copy of an earlier split is in place."""
    return target.exists() and target.read_bytes() == source.read_bytes()


def _refuse_clashes(moves: Sequence[tuple[Path, Path]], ours: set[Path]) -> None:
    """Raise DataError when two files would become one. Below `ours` stand copies of an earlier split, to be renewed."""
    counts = Counter(target for _, target in moves)
    sources = {source for source, _ in moves}
    for _, target in moves:
        old = target.exists() and target not in sources and not ours & set(target.parents)
        if counts[target] > 1 or old:
            raise DataError(f"{target} would be overwritten; rename one of the files of that name. Nothing was moved")


def _put(source: Path, target: Path, copy: bool) -> None:
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


def _write_coco(found: Survey, parts: Sequence[str], root: Path, first: bool) -> int:
    """One COCO file a part, none for a part without pictures; the number of files that changed."""
    data = json.loads(found.root.read_text(encoding="utf-8-sig"))
    homes = {item.path: part for item, part in zip(found.items, parts, strict=True)}
    read = [Path(os.path.normpath(picture.path)) for picture in read_coco(found.root, found.root.parent)]
    listed = [(row, path, homes.get(path)) for row, path in zip(data["images"], read, strict=True)]
    changed: dict[Path, str | None] = {}
    for name in PARTS:
        rows = [{**row, "file_name": os.path.relpath(path, root)} for row, path, part in listed if part == name]
        ids = {row["id"] for row in rows}
        notes = [note for note in data["annotations"] if note["image_id"] in ids]
        target = root / f"{found.root.stem}_{name}.json"
        text = json.dumps({**data, "images": rows, "annotations": notes}) if rows else None
        if text != (target.read_text() if target.exists() else None):
            changed[target] = text
    there = [target for target in changed if target.exists()]
    if first and there:
        raise DataError(f"{there[0]} would be overwritten; move it away, or choose another --out. Nothing was written")
    for target, text in changed.items():
        if text:
            write_whole(target, text)
        else:
            target.unlink()
    return len(changed)


def _counts(items: Sequence[Item], parts: Sequence[str]) -> dict[str, dict[str, int]]:
    """Pictures by part and class."""
    rows: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    for item, part in zip(items, parts, strict=True):
        rows[part][stratum(item)] += 1
    return {part: dict(sorted(counts.items())) for part, counts in rows.items() if counts}
