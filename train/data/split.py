"""Training, validation and test parts, so that nothing in one part looks like anything in another.

The plan is written before a file is touched, and each file moves by one rename, so a split that was cut off goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.device.capture import session_of
from edgekit.device.errors import DataError
from edgekit.train.data.fingerprint import Fingerprint, alike, fingerprints, joined
from edgekit.train.data.survey import Item, Survey
from edgekit.train.expressions import PARTS

PLAN = "split.json"

Track = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass
class Group:
    """Pictures that must stay together."""

    items: list[int]
    part: str = ""  # where some of them are already
    counts: Counter[str] = field(default_factory=Counter)  # by class, or by with or without boxes


def split(
    found: Survey, shares: Mapping[str, float], seed: int, out: Path | None, mix: bool, again: bool, track: Track
) -> dict[str, Any]:
    """Put each picture that has no part yet into one; returns the plan, with the number of files that were "done".

    Within the data files move; into `out` they are copied. COCO files are written anew, their pictures stay. `mix`
    ignores sessions, `again` also gives new parts to what has one. Raises DataError.
    """
    if found.layout == "pictures":
        raise DataError(f"{found.root} has neither labels nor class folders; label it first: edgekit data label")
    root = out or (found.root.parent if found.layout == "coco" else found.root)
    before = read_plan(root)
    prints = list(track(fingerprints([item.path for item in found.items]), len(found.items)))
    names = [_name(item, found) for item in found.items]
    parts = [""] * len(names) if again else _parts(found, names, before)
    groups = grouped(found.items, prints, parts, mix)
    assign(groups, shares, seed)
    for group in groups:
        for n in group.items:
            parts[n] = parts[n] or group.part
    rows = sorted(zip(names, parts, prints, strict=True), key=lambda row: row[0])
    pictures = {name: {"part": part, "sha256": seen.sha256} for name, part, seen in rows}
    plan = {"unfinished": False, "seed": seed, "shares": dict(shares), "pictures": pictures}
    moves = [] if found.layout == "coco" else _moves(found, parts, root, copy=out is not None)
    _refuse_clashes(moves)
    if moves:
        _write_json(root / PLAN, plan | {"unfinished": True})
    for source, target in track(moves, len(moves)):
        _put(source, target, copy=out is not None)
    done = len(moves) + (_write_coco(found, parts, root) if found.layout == "coco" else 0)
    if moves or pictures != before["pictures"] or before["unfinished"]:
        _write_json(root / PLAN, plan)
    return plan | {"done": done, "counts": _counts(found.items, parts)}


def _parts(found: Survey, names: Sequence[str], before: dict[str, Any]) -> list[str]:
    """The part that each picture has already: by where it lies, or by a plan that was not carried out to its end."""
    planned = {name: row["part"] for name, row in before["pictures"].items()}
    lying = ["" if found.layout == "coco" else item.part for item in found.items]
    if before["unfinished"]:
        return [planned.get(name) or part for name, part in zip(names, lying, strict=True)]
    return [part or planned.get(name, "") for name, part in zip(names, lying, strict=True)]


def read_plan(root: Path) -> dict[str, Any]:
    """The plan of an earlier split; one without pictures where there was none."""
    path = root / PLAN
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


def grouped(items: Sequence[Item], prints: Sequence[Fingerprint], parts: Sequence[str], mix: bool) -> list[Group]:
    """Near-duplicates, what the data calls a group and, unless `mix`, each capture session."""
    together: dict[str, list[int]] = {}
    for n, item in enumerate(items):
        session = None if mix else session_of(item.path.name)
        for key in (f"group {item.group}" if item.group else "", f"session {session}" if session else ""):
            if key:
                together.setdefault(key, []).append(n)
    groups = []
    for numbers in joined(len(items), [*alike(prints), *together.values()]):
        part = next((parts[n] for n in numbers if parts[n]), "")
        groups.append(Group(numbers, part, Counter(stratum(items[n]) for n in numbers)))
    return groups


def assign(groups: Sequence[Group], shares: Mapping[str, float], seed: int) -> None:
    """Give each group without a part the one that brings every class nearest to its shares; large groups first.

    The same groups and seed give the same parts, and no part that is asked for stays empty. Raises DataError.
    """
    asked = [part for part in PARTS if shares[part] > 0]
    total: Counter[str] = Counter()
    have: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    for group in groups:
        total += group.counts
        if group.part:
            have[group.part] += group.counts
    free = [group for group in groups if not group.part]
    if free and len(groups) < len(asked):
        raise DataError(
            f"the pictures are {len(groups)} group(s) of one capture session or look alike, too few for {len(asked)} "
            "parts; capture in more sessions (other days, places, clothes), or --mix-sessions where that is the reason"
        )
    shuffled = [free[n] for n in np.random.default_rng(seed).permutation(len(free))]
    shuffled.sort(key=lambda group: -len(group.items))
    for number, group in enumerate(shuffled):
        empty = [part for part in asked if not have[part]]
        options = empty if len(empty) >= len(shuffled) - number else asked

        def cost(part: str, group: Group = group) -> float:
            gap = {kind: have[part][kind] - shares[part] * total[kind] for kind in group.counts}
            return sum((gap[kind] + count) ** 2 - gap[kind] ** 2 for kind, count in group.counts.items())

        group.part = min(options, key=cost)
        have[group.part] += group.counts


def _name(item: Item, found: Survey) -> str:
    """A picture's name in the plan, the same before and after it has moved."""
    return (Path(item.kind) / _inner(item, found)).as_posix()


def _inner(item: Item, found: Survey) -> Path:
    """Where a picture lies below images/, its class folder or its COCO file."""
    if found.layout == "coco":
        return Path(os.path.relpath(item.path, found.root.parent))
    tree = found.root / item.part
    return item.path.relative_to(tree / ("images" if found.layout == "labelme" else item.kind))


def _moves(found: Survey, parts: Sequence[str], root: Path, copy: bool) -> list[tuple[Path, Path]]:
    """From where to where each file goes, labels before their picture; those that are there already left out."""
    moves = []
    for item, part in zip(found.items, parts, strict=True):
        inner = _inner(item, found)
        if found.layout == "labelme":
            label = inner.with_suffix(".json")
            source = found.root / item.part / "labels" / label
            if source.exists():
                moves.append((source, root / part / "labels" / label))
            moves.append((item.path, root / part / "images" / inner))
        else:
            moves.append((item.path, root / part / item.kind / inner))
    moves += _left_behind(found, parts, root)
    return [(source, target) for source, target in moves if source != target and not (copy and _there(source, target))]


def _left_behind(found: Survey, parts: Sequence[str], root: Path) -> list[tuple[Path, Path]]:
    """Labels whose picture moved on alone."""
    moves = []
    homes = {_inner(item, found).with_suffix(""): part for item, part in zip(found.items, parts, strict=True)}
    for stray in found.strays:
        tree = next(p for p in stray.parents if p.name == "labels")
        inner = stray.relative_to(tree)
        if part := homes.get(inner.with_suffix("")):
            moves.append((stray, root / part / "labels" / inner))
    return moves


def _there(source: Path, target: Path) -> bool:
    """Whether a copy of an earlier split is in place."""
    return target.exists() and target.read_bytes() == source.read_bytes()


def _refuse_clashes(moves: Sequence[tuple[Path, Path]]) -> None:
    """Raise DataError when two files would become one."""
    counts = Counter(target for _, target in moves)
    sources = {source for source, _ in moves}
    clash = next((t for _, t in moves if counts[t] > 1 or (t.exists() and t not in sources)), None)
    if clash:
        raise DataError(f"{clash} would be overwritten; rename one of the files of that name. Nothing was moved")


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
        raise DataError(f"{target} cannot be written: {error.strerror}; run the same command again") from error


def _write_coco(found: Survey, parts: Sequence[str], root: Path) -> int:
    """One COCO file a part; the number of files that changed."""
    data = json.loads(found.root.read_text())
    homes = {os.path.normpath(item.path): part for item, part in zip(found.items, parts, strict=True)}
    home = {row["id"]: homes.get(os.path.normpath(found.root.parent / row["file_name"])) for row in data["images"]}
    changed = 0
    for part in PARTS:
        rows = [row for row in data["images"] if home[row["id"]] == part]
        ids = {row["id"] for row in rows}
        images = [{**row, "file_name": os.path.relpath(found.root.parent / row["file_name"], root)} for row in rows]
        notes = [note for note in data["annotations"] if note["image_id"] in ids]
        target = root / f"{found.root.stem}_{part}.json"
        text = json.dumps({**data, "images": images, "annotations": notes})
        if images and not (target.exists() and target.read_text() == text):
            _write_text(target, text)
            changed += 1
    return changed


def _counts(items: Sequence[Item], parts: Sequence[str]) -> dict[str, dict[str, int]]:
    """Pictures by part and class."""
    rows: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    for item, part in zip(items, parts, strict=True):
        rows[part][stratum(item)] += 1
    return {part: dict(sorted(counts.items())) for part, counts in rows.items() if counts}


def stratum(item: Item) -> str:
    """What each part is to have its share of: a class, or pictures with boxes and without."""
    return item.kind or ("with boxes" if item.boxes else "without boxes")


def _write_json(path: Path, data: Any) -> None:
    _write_text(path, json.dumps(data, indent=1) + "\n")


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text)
        os.replace(part, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from error
