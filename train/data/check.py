"""What is wrong with a data set, and what it holds."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.train.data.fingerprint import (
    ENDINGS,
    NEAR,
    Fingerprint,
    fingerprints,
    first_before,
    first_like,
    unpacked,
)
from pocketsight.train.data.survey import SMALLEST, Item, Survey, in_input, wrongs

MOVE, RENAME, YOURS, NOTE = "--fix moves it", "--fix renames it", "for you to mend", "good to know"
KINDS = {  # what it is, and who mends it; a note is no fault
    "unreadable": ("the picture cannot be read, or is cut short", MOVE),
    "missing": ("a label file names a picture that is not there", MOVE),
    "wrong ending": ("the name says one format, the file holds another", RENAME),
    "small file": ("fewer bytes than --min-bytes: a thumbnail, or hardly anything on it", MOVE),
    "small picture": ("its shorter side is below --min-side", MOVE),
    "duplicate": ("the same file again", MOVE),
    "leak": ("the same picture, or nearly, in a part that is held out: the score would lie", MOVE),
    "two classes": ("the same picture in two class folders", YOURS),
    "same name": ("two pictures would share one label file", YOURS),
    "label without picture": ("no picture has this label file's name", MOVE),
    "unreadable label": ("the label file is none, or is cut short", MOVE),
    "strange label": ("a label file with something else than boxes around objects", YOURS),
    "listed twice": ("one picture has two entries; nobody knows which is right", YOURS),
    "loose picture": ("it lies beside the class folders, where training does not look", YOURS),
    "wrong size": ("the picture was resized or turned after it was labelled", MOVE),
    "unknown label": ("not one of --labels", YOURS),
    "empty box": ("a box of no area", MOVE),
    "flipped box": ("a box of negative width or height", MOVE),
    "box outside": ("a box that reaches beyond its picture", MOVE),
    "tiny box": (f"below {SMALLEST} px in the detector's input: too small for it", NOTE),
    "box covers all": ("a box around the whole picture", NOTE),
    "near duplicate": ("nearly the same as another; `pocketsight data split` keeps them on one side", NOTE),
}
SAME = 20  # bits of the perceptual hash that two copies of one picture may differ in; see fingerprint.NEAR
BINS = SMALLEST, 16, 32, 64, 128  # px of the detector's input


class Fault(NamedTuple):
    """One thing to look at."""

    kind: str  # one of KINDS
    path: Path  # the picture, or the label file that has none
    detail: str
    item: Item | None = None
    twin: Item | None = None  # the other picture, where there are two


@dataclass(frozen=True)
class Report:
    """What was found."""

    survey: Survey
    faults: list[Fault]
    facts: dict[str, Any]  # counts, balance, sizes


def check(
    found: Survey, labels: tuple[str, ...], min_bytes: int, min_side: int, workers: int | None = None,
    track: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, _: items,
) -> Report:  # fmt: skip
    """Look at every picture and label. No labels allowed means the most frequent one; `track` shows progress."""
    prints = list(track(fingerprints([item.path for item in found.items], workers), len(found.items)))
    used = Counter(mark.label for item in found.items for mark in item.boxes)
    allowed = labels or tuple(name for name, _ in used.most_common(1))
    faults = [*_of_files(found), *_copies(found.items, prints)]
    for item, seen in zip(found.items, prints, strict=True):
        faults += [Fault(kind, item.path, detail, item) for kind, detail in _of_picture(seen, min_bytes, min_side)]
        if seen.fault or found.layout not in ("coco", "labelme"):
            continue
        faults += [Fault(kind, item.path, detail, item) for kind, detail in wrongs(item, seen.size)]
        unknown = sorted({mark.label for mark in item.boxes} - set(allowed))
        if unknown:
            faults.append(Fault("unknown label", item.path, ", ".join(unknown), item))
    order = list(KINDS)
    faults.sort(key=lambda fault: (order.index(fault.kind), fault.path, fault.detail))
    return Report(found, faults, facts(found, prints, used))


def _of_files(found: Survey) -> Iterator[Fault]:
    for path in found.strays:
        yield Fault("label without picture", path, "")
    for path in found.missing:
        yield Fault("missing", path, "")
    for item in found.items:
        if item.path in found.unread:
            kind = "strange label" if item.file and _is_json(item.file) else "unreadable label"
            yield Fault(kind, item.path, found.unread[item.path], item)
    for path in found.loose:
        yield Fault("loose picture", path, "")
    entries = Counter(item.path for item in found.items)
    for item in found.items:
        if entries[item.path] > 1:
            yield Fault("listed twice", item.path, f"in {item.file}", item)
    names = Counter((item.part, item.path.with_suffix("")) for item in found.items)
    for item in found.items if found.layout == "labelme" else []:
        if names[item.part, item.path.with_suffix("")] > 1:
            yield Fault("same name", item.path, "rename one of them", item)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _of_picture(seen: Fingerprint, min_bytes: int, min_side: int) -> Iterator[tuple[str, str]]:
    if seen.fault:
        yield "unreadable", seen.fault
        return
    if seen.path.suffix.lower() not in ENDINGS[seen.form]:
        yield "wrong ending", f"holds {seen.form}"
    if seen.length < min_bytes:
        yield "small file", f"{seen.length:,} bytes"
    if min(seen.size) < min_side:
        yield "small picture", f"{seen.size[1]}x{seen.size[0]}"


def _copies(items: Sequence[Item], prints: Sequence[Fingerprint]) -> Iterator[Fault]:
    """Pictures of two classes, leaks and duplicates; each picture is named once, by the worst of them."""
    known = {item.path: (item, seen) for item, seen in zip(items, prints, strict=True) if seen.hash}
    here = [item for item, _ in known.values()]
    bits = unpacked([seen.hash for _, seen in known.values()])
    done: set[int] = set()
    for kind, mine, theirs, most in _comparisons(here):
        mine = [n for n in mine if n not in done]
        for n, m in zip(mine, first_like(bits[mine], bits[theirs], most), strict=True):
            if m >= 0:
                done.add(n)
                yield _twin(kind, here[n], here[theirs[m]])
    rest = [n for n in range(len(here)) if n not in done]
    rest.sort(key=lambda n: (not here[n].part, here[n].file is None))  # of two copies the labelled one stays
    first: dict[str, int] = {}
    for n in rest:
        if (m := first.setdefault(known[here[n].path][1].sha256, n)) != n:
            yield _twin("duplicate", here[n], here[m])
    rest = list(first.values())
    for n, m in zip(rest, first_before(bits[rest]), strict=True):
        if m >= 0:
            yield _twin("near duplicate", here[n], here[rest[m]])


def _comparisons(items: Sequence[Item]) -> Iterator[tuple[str, list[int], list[int], int]]:
    """What must not be alike: a kind of fault, pictures, those that they are compared with, bits that may differ."""
    every = range(len(items))
    kinds = sorted({item.kind for item in items})
    for kind in kinds if len(kinds) > 1 else []:
        yield (
            "two classes",
            [n for n in every if items[n].kind == kind],
            [n for n in every if items[n].kind != kind],
            SAME,
        )
    for part, held in (("train", ("val", "test")), ("val", ("test",))):  # what is held out stays
        yield "leak", [n for n in every if items[n].part == part], [n for n in every if items[n].part in held], NEAR


def _twin(kind: str, item: Item, twin: Item) -> Fault:
    return Fault(kind, item.path, f"as {twin.path}", item, twin)


def facts(found: Survey, prints: Sequence[Fingerprint], used: Counter[str]) -> dict[str, Any]:
    """Counts a person wants to see before a training: balance by part, sizes of faces, colour."""
    good = [(item, seen) for item, seen in zip(found.items, prints, strict=True) if not seen.fault]
    balance: dict[str, Counter[str]] = defaultdict(Counter)
    sizes = [0] * (len(BINS) + 1)
    for item, seen in good:
        kind = item.kind or ("with boxes" if item.boxes else "without boxes")
        balance[item.part or "not split"][kind if found.layout != "pictures" else "pictures"] += 1
        for mark in item.boxes:
            side = in_input(mark.box, seen.size)
            sizes[sum(side >= edge for edge in BINS)] += 1
    rows = {part: dict(sorted(counts.items())) for part, counts in sorted(balance.items())}
    grey = sum(seen.grey for _, seen in good)
    return {
        "layout": found.layout,
        "pictures": len(found.items),
        "balance": rows,
        "labels": dict(used.most_common()),
        "face_sizes": dict(zip(bins(), sizes, strict=True)) if used else {},
        "grey": grey,
        "colour": len(good) - grey,
        "bytes": sum(seen.length for _, seen in good),
    }


def bins() -> list[str]:
    """Names of the bins of the histogram of face sizes."""
    return [f"below {BINS[0]}", *(f"{a} to {b}" for a, b in pairwise(BINS)), f"{BINS[-1]} and more"]
