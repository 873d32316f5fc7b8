"""What is wrong with a data set, and what it holds."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.train.curation.image_hash import (
    EXTENSIONS,
    NEAR_DUPLICATE_BITS,
    Fingerprint,
    first_earlier_match,
    first_match,
    read_fingerprints,
    unpack_hashes,
)
from pocketsight.train.curation.scan import MIN_FACE_PX, DatasetScan, ScannedImage, box_issues, longer_side_in_input

MOVE, RENAME, MANUAL, INFO = "--fix moves it", "--fix renames it", "for you to mend", "good to know"
ISSUE_TYPES = {  # what it is, and who mends it; a note is no fault
    "unreadable": ("the picture cannot be read, or is cut short", MOVE),
    "missing": ("a label file names a picture that is not there", MOVE),
    "wrong ending": ("the name says one format, the file holds another", RENAME),
    "small file": ("fewer bytes than --min-bytes: a thumbnail, or hardly anything on it", MOVE),
    "small picture": ("its shorter side is below --min-side", MOVE),
    "duplicate": ("the same file again", MOVE),
    "leak": ("the same picture, or nearly, in a part that is held out: the score would lie", MOVE),
    "two classes": ("the same picture in two class folders", MANUAL),
    "same name": ("two pictures would share one label file", MANUAL),
    "label without picture": ("no picture has this label file's name", MOVE),
    "unreadable label": ("the label file is none, or is cut short", MOVE),
    "strange label": ("a label file with something else than boxes around objects", MANUAL),
    "listed twice": ("one picture has two entries; nobody knows which is right", MANUAL),
    "loose picture": ("it lies beside the class folders, where training does not look", MANUAL),
    "wrong size": ("the picture was resized or turned after it was labelled", MOVE),
    "unknown label": ("not one of --labels", MANUAL),
    "empty box": ("a box of no area", MOVE),
    "flipped box": ("a box of negative width or height", MOVE),
    "box outside": ("a box that reaches beyond its picture", MOVE),
    "tiny box": (f"below {MIN_FACE_PX} px in the detector's input: too small for it", INFO),
    "box covers all": ("a box around the whole picture", INFO),
    "near duplicate": ("nearly the same as another; `pocketsight data split` keeps them on one side", INFO),
}
DUPLICATE_BITS = 20  # bits of the perceptual hash that two copies of one picture may differ in; see fingerprint.NEAR
FACE_SIZE_BINS = MIN_FACE_PX, 16, 32, 64, 128  # px of the detector's input


class Issue(NamedTuple):
    """One thing to look at."""

    type: str  # one of KINDS
    path: Path  # the picture, or the label file that has none
    detail: str
    image: ScannedImage | None = None
    duplicate_of: ScannedImage | None = None  # the other picture, where there are two


@dataclass(frozen=True)
class CheckReport:
    """What was found."""

    scan: DatasetScan
    issues: list[Issue]
    statistics: dict[str, Any]  # counts, balance, sizes


def check(
    scan: DatasetScan,
    labels: tuple[str, ...],
    min_bytes: int,
    min_side: int,
    workers: int | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, _: items,
) -> CheckReport:
    """Look at every picture and label. No labels allowed means the most frequent one; `track` shows progress."""
    prints = list(progress(read_fingerprints([item.path for item in scan.images], workers), len(scan.images)))
    used = Counter(mark.label for item in scan.images for mark in item.objects)
    allowed = labels or tuple(name for name, _ in used.most_common(1))
    faults = [*_find_file_issues(scan), *_find_duplicates(scan.images, prints)]
    for item, seen in zip(scan.images, prints, strict=True):
        faults += [
            Issue(kind, item.path, detail, item) for kind, detail in _find_image_issues(seen, min_bytes, min_side)
        ]
        if seen.error or scan.layout not in ("coco", "labelme"):
            continue
        faults += [Issue(kind, item.path, detail, item) for kind, detail in box_issues(item, seen.size)]
        unknown = sorted({mark.label for mark in item.objects} - set(allowed))
        if unknown:
            faults.append(Issue("unknown label", item.path, ", ".join(unknown), item))
    order = list(ISSUE_TYPES)
    faults.sort(key=lambda fault: (order.index(fault.type), fault.path, fault.detail))
    return CheckReport(scan, faults, dataset_statistics(scan, prints, used))


def _find_file_issues(scan: DatasetScan) -> Iterator[Issue]:
    for path in scan.orphan_labels:
        yield Issue("label without picture", path, "")
    for path in scan.missing_images:
        yield Issue("missing", path, "")
    for item in scan.images:
        if item.path in scan.unreadable_labels:
            kind = "strange label" if item.label_file and _is_json(item.label_file) else "unreadable label"
            yield Issue(kind, item.path, scan.unreadable_labels[item.path], item)
    for path in scan.unclassified:
        yield Issue("loose picture", path, "")
    entries = Counter(item.path for item in scan.images)
    for item in scan.images:
        if entries[item.path] > 1:
            yield Issue("listed twice", item.path, f"in {item.label_file}", item)
    names = Counter((item.split, item.path.with_suffix("")) for item in scan.images)
    for item in scan.images if scan.layout == "labelme" else []:
        if names[item.split, item.path.with_suffix("")] > 1:
            yield Issue("same name", item.path, "rename one of them", item)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _find_image_issues(fingerprint: Fingerprint, min_bytes: int, min_side: int) -> Iterator[tuple[str, str]]:
    if fingerprint.error:
        yield "unreadable", fingerprint.error
        return
    if fingerprint.path.suffix.lower() not in EXTENSIONS[fingerprint.format]:
        yield "wrong ending", f"holds {fingerprint.format}"
    if fingerprint.file_size < min_bytes:
        yield "small file", f"{fingerprint.file_size:,} bytes"
    if min(fingerprint.size) < min_side:
        yield "small picture", f"{fingerprint.size[1]}x{fingerprint.size[0]}"


def _find_duplicates(images: Sequence[ScannedImage], fingerprints: Sequence[Fingerprint]) -> Iterator[Issue]:
    """Pictures of two classes, leaks and duplicates; each picture is named once, by the worst of them."""
    known = {item.path: (item, seen) for item, seen in zip(images, fingerprints, strict=True) if seen.perceptual_hash}
    here = [item for item, _ in known.values()]
    bits = unpack_hashes([seen.perceptual_hash for _, seen in known.values()])
    done: set[int] = set()
    for kind, mine, theirs, most in _comparisons(here):
        mine = [n for n in mine if n not in done]
        for n, m in zip(mine, first_match(bits[mine], bits[theirs], most), strict=True):
            if m >= 0:
                done.add(n)
                yield _duplicate_issue(kind, here[n], here[theirs[m]])
    rest = [n for n in range(len(here)) if n not in done]
    rest.sort(key=lambda n: (not here[n].split, here[n].label_file is None))  # of two copies the labelled one stays
    first: dict[str, int] = {}
    for n in rest:
        if (m := first.setdefault(known[here[n].path][1].sha256, n)) != n:
            yield _duplicate_issue("duplicate", here[n], here[m])
    rest = list(first.values())
    for n, m in zip(rest, first_earlier_match(bits[rest]), strict=True):
        if m >= 0:
            yield _duplicate_issue("near duplicate", here[n], here[rest[m]])


def _comparisons(images: Sequence[ScannedImage]) -> Iterator[tuple[str, list[int], list[int], int]]:
    """What must not be alike: a kind of fault, pictures, those that they are compared with, bits that may differ."""
    every = range(len(images))
    kinds = sorted({item.class_name for item in images})
    for kind in kinds if len(kinds) > 1 else []:
        yield (
            "two classes",
            [n for n in every if images[n].class_name == kind],
            [n for n in every if images[n].class_name != kind],
            DUPLICATE_BITS,
        )
    for part, held in (("train", ("val", "test")), ("val", ("test",))):  # what is held out stays
        yield (
            "leak",
            [n for n in every if images[n].split == part],
            [n for n in every if images[n].split in held],
            NEAR_DUPLICATE_BITS,
        )


def _duplicate_issue(issue_type: str, image: ScannedImage, duplicate_of: ScannedImage) -> Issue:
    return Issue(issue_type, image.path, f"as {duplicate_of.path}", image, duplicate_of)


def dataset_statistics(
    scan: DatasetScan, fingerprints: Sequence[Fingerprint], label_counts: Counter[str]
) -> dict[str, Any]:
    """Counts a person wants to see before a training: balance by part, sizes of faces, colour."""
    good = [(item, seen) for item, seen in zip(scan.images, fingerprints, strict=True) if not seen.error]
    balance: dict[str, Counter[str]] = defaultdict(Counter)
    sizes = [0] * (len(FACE_SIZE_BINS) + 1)
    for item, seen in good:
        kind = item.class_name or ("with boxes" if item.objects else "without boxes")
        balance[item.split or "not split"][kind if scan.layout != "pictures" else "pictures"] += 1
        for mark in item.objects:
            side = longer_side_in_input(mark.box, seen.size)
            sizes[sum(side >= edge for edge in FACE_SIZE_BINS)] += 1
    rows = {part: dict(sorted(counts.items())) for part, counts in sorted(balance.items())}
    grey = sum(seen.is_gray for _, seen in good)
    return {
        "layout": scan.layout,
        "pictures": len(scan.images),
        "balance": rows,
        "labels": dict(label_counts.most_common()),
        "face_sizes": dict(zip(face_size_bin_names(), sizes, strict=True)) if label_counts else {},
        "grey": grey,
        "colour": len(good) - grey,
        "bytes": sum(seen.file_size for _, seen in good),
    }


def face_size_bin_names() -> list[str]:
    """Names of the bins of the histogram of face sizes."""
    return [
        f"below {FACE_SIZE_BINS[0]}",
        *(f"{a} to {b}" for a, b in pairwise(FACE_SIZE_BINS)),
        f"{FACE_SIZE_BINS[-1]} and more",
    ]


def count_issues(issues: Sequence[Issue]) -> dict[str, int]:
    """How many of each kind, in the order of KINDS."""
    counts = Counter(fault.type for fault in issues)
    return {kind: counts[kind] for kind in ISSUE_TYPES if counts[kind]}
