"""`pocketsight data check`: finds unusable images and labels, duplicates and leaks between splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from pocketsight.device.vision.image_kinds import conversion_hint
from pocketsight.train.console import SizedProgressFn
from pocketsight.train.curation.image_hash import (
    EXTENSIONS,
    NEAR_DUPLICATE_BITS,
    Fingerprint,
    first_earlier_match,
    first_match,
    read_fingerprints,
    unpack_hashes,
)
from pocketsight.train.curation.scan import (
    MIN_FACE_PX,
    DatasetScan,
    ScannedImage,
    box_issues,
    longer_side_in_input,
    uncovered_boxes,
)

# What can be done about an issue. INFO is not an error.
MOVE, RENAME, MANUAL, INFO = "--fix moves it", "--fix renames it", "fix it by hand", "information"
# Issue type: (description, action). The type names are values in the JSON report and anchors in the HTML report.
ISSUE_TYPES = {
    "unreadable": ("the image cannot be read, or is truncated", MOVE),
    "missing": ("a label file names an image that does not exist; `data import --images DIR` finds it", MOVE),
    "wrong extension": ("the file holds another format than its extension says", RENAME),
    "unread kind": ("an image of a kind that is not read here; convert it to JPEG or PNG", MANUAL),
    "small image": ("the shorter side is below --min-side", MOVE),
    "duplicate": ("an exact copy of another file", MOVE),
    "leak": ("the same image, or almost, is in a held-out split: scores would be too high", MOVE),
    "two classes": ("the same image is in two class folders", MANUAL),
    "same name": ("two images would share one label file", MANUAL),
    "label without image": ("no image has the name of this label file", MOVE),
    "unreadable label": ("the label file cannot be read, or is truncated", MOVE),
    "unsupported shape": ("the label file has a shape other than a box, polygon or circle", MANUAL),
    "duplicate entry": ("one image has two entries; only one can be right", MANUAL),
    "unclassified image": ("the image is outside the class folders, where training does not look", MANUAL),
    "wrong size": ("the image was resized or rotated after it was labeled", MOVE),
    "size before rotation": ("the labels have the size before the EXIF rotation; `data import` puts it right", MANUAL),
    "unknown label": (
        "a label that is not in --labels, or a rare one: maybe a typing error (--rename OLD=NEW)",
        MANUAL,
    ),
    "empty box": ("a box without area", MOVE),
    "flipped box": ("a box of negative width or height", MOVE),
    "box outside": ("a box that reaches beyond its image", MOVE),
    "tiny box": (f"below {MIN_FACE_PX} px in the detector's input: too small to be detected", INFO),
    "no cell": ("boxes that no cell of the detector can learn: too long, too large, or too many small ones", INFO),
    "small file": ("fewer bytes than --min-bytes; what counts is --min-side", INFO),
    "box covers all": ("a box around the whole image", INFO),
    "near duplicate": ("almost the same as another image; `pocketsight data split` keeps both in one split", INFO),
}
# Bits of the perceptual hash that may differ between two copies of one image (see NEAR_DUPLICATE_BITS).
DUPLICATE_BITS = 20
RARE_COUNT, RARE_SHARE = 3, 0.02  # boxes, or share of those of the most frequent label: fewer are likely a typing error
FACE_SIZE_BINS = MIN_FACE_PX, 16, 32, 64, 128  # px of the detector's input
NOT_SPLIT = "not split"  # name of the images without a split in the statistics


class Issue(NamedTuple):
    """One problem of one file."""

    type: str  # a key of ISSUE_TYPES
    path: Path  # the image, or a label file without image
    detail: str
    image: ScannedImage | None = None
    duplicate_of: ScannedImage | None = None


@dataclass(frozen=True)
class DatasetStatistics:
    """Counts that a person wants to see before a training. The field names are keys of the JSON report."""

    layout: str
    images: int
    balance: dict[str, dict[str, int]]  # split -> class, or "with boxes" and "without boxes" -> images
    labels: dict[str, int]  # label -> boxes
    box_sizes: dict[str, int]  # size bin -> boxes
    no_cell: int  # boxes that no cell of the detector can learn
    gray: int  # images
    color: int  # images
    bytes: int

    @property
    def summary(self) -> str:
        """The first line of the reports."""
        return f"{self.images} images, {self.bytes / 1e6:.1f} MB; {self.color} in color, {self.gray} gray"


@dataclass(frozen=True)
class CheckReport:
    """Everything that a check found."""

    scan: DatasetScan
    issues: list[Issue]
    statistics: DatasetStatistics


def check(
    scan: DatasetScan,
    labels: tuple[str, ...],
    min_bytes: int,
    min_side: int,
    workers: int | None = None,
    progress: SizedProgressFn = lambda items, _: items,
) -> CheckReport:
    """Check every image and label.

    `labels` are the allowed ones; empty: all but those with very few boxes.
    `min_bytes` is the smallest file size, `min_side` the shortest side in px. `progress` wraps the iteration over the
    images in a progress bar.
    """
    fingerprints = list(progress(read_fingerprints([image.path for image in scan.images], workers), len(scan.images)))
    label_counts = Counter(annotation.label for image in scan.images for annotation in image.objects)
    usual = max(label_counts.values(), default=0)
    rare = min(max(RARE_COUNT, RARE_SHARE * usual), usual / 3)
    allowed = labels or tuple(name for name, count in label_counts.items() if count >= rare)
    issues = [*_find_file_issues(scan), *_find_duplicates(scan.images, fingerprints)]
    for image, fingerprint in zip(scan.images, fingerprints, strict=True):
        problems = list(_find_image_issues(fingerprint, min_bytes, min_side))
        if not fingerprint.error and scan.layout in ("coco", "labelme"):
            problems += box_issues(image, fingerprint.size)
            if count := uncovered_boxes(image, fingerprint.size):
                problems.append(("no cell", f"{count} of {len(image.objects)} boxes"))
            if unknown := sorted({annotation.label for annotation in image.objects} - set(allowed)):
                problems.append(("unknown label", ", ".join(unknown)))
        issues += [Issue(issue_type, image.path, detail, image) for issue_type, detail in problems]
    order = list(ISSUE_TYPES)
    issues.sort(key=lambda issue: (order.index(issue.type), issue.path, issue.detail))
    return CheckReport(scan, issues, dataset_statistics(scan, fingerprints, label_counts))


def _find_file_issues(scan: DatasetScan) -> Iterator[Issue]:
    for path in scan.orphan_labels:
        yield Issue("label without image", path, "")
    for path in scan.missing_images:
        yield Issue("missing", path, "")
    for image in scan.images:
        if image.path in scan.unreadable_labels:
            yield Issue("unreadable label", image.path, scan.unreadable_labels[image.path], image)
    for path in scan.unread_images:
        yield Issue("unread kind", path, conversion_hint([path.suffix.lower()]))
    for path in scan.unclassified:
        yield Issue("unclassified image", path, "")
    entries = Counter(image.path for image in scan.images)
    for image in scan.images:
        if entries[image.path] > 1:
            yield Issue("duplicate entry", image.path, f"in {image.label_file}", image)
    names = Counter((image.split, image.path.with_suffix("")) for image in scan.images)
    for image in scan.images if scan.layout == "labelme" else []:
        if names[image.split, image.path.with_suffix("")] > 1:
            yield Issue("same name", image.path, "rename one of them", image)


def _find_image_issues(fingerprint: Fingerprint, min_bytes: int, min_side: int) -> Iterator[tuple[str, str]]:
    """(issue type, detail) of one image file, without its labels."""
    if fingerprint.error:
        yield "unreadable", fingerprint.error
        return
    if fingerprint.path.suffix.lower() not in EXTENSIONS[fingerprint.format]:
        yield "wrong extension", f"holds {fingerprint.format}"
    if fingerprint.file_size < min_bytes:
        yield "small file", f"{fingerprint.file_size:,} bytes"
    if min(fingerprint.size) < min_side:
        yield "small image", f"{fingerprint.size[1]}x{fingerprint.size[0]}"


def _find_duplicates(images: Sequence[ScannedImage], fingerprints: Sequence[Fingerprint]) -> Iterator[Issue]:
    """Images in two classes, leaks and duplicates. Each image gets one issue, the most serious."""
    by_path = {
        image.path: (image, fingerprint)
        for image, fingerprint in zip(images, fingerprints, strict=True)
        if fingerprint.perceptual_hash
    }
    readable = [image for image, _ in by_path.values()]
    bits = unpack_hashes([fingerprint.perceptual_hash for _, fingerprint in by_path.values()])
    reported: set[int] = set()
    for issue_type, indices, candidates, max_bits in _comparisons(readable):
        indices = [n for n in indices if n not in reported]
        for n, match in zip(indices, first_match(bits[indices], bits[candidates], max_bits), strict=True):
            if match >= 0:
                reported.add(n)
                yield _duplicate_issue(issue_type, readable[n], readable[candidates[match]])
    rest = [n for n in range(len(readable)) if n not in reported]
    rest.sort(key=lambda n: (not readable[n].split, readable[n].label_file is None))  # keep the labeled copy
    first: dict[str, int] = {}
    for n in rest:
        if (match := first.setdefault(by_path[readable[n].path][1].sha256, n)) != n:
            yield _duplicate_issue("duplicate", readable[n], readable[match])
    rest = list(first.values())
    for n, match in zip(rest, first_earlier_match(bits[rest]), strict=True):
        if match >= 0:
            yield _duplicate_issue("near duplicate", readable[n], readable[rest[match]])


def _comparisons(images: Sequence[ScannedImage]) -> Iterator[tuple[str, list[int], list[int], int]]:
    """Pairs of sets that must not overlap: issue type, indices, indices to compare with, bits that may differ."""
    every = range(len(images))
    classes = sorted({image.class_name for image in images})
    for name in classes if len(classes) > 1 else []:
        yield (
            "two classes",
            [n for n in every if images[n].class_name == name],
            [n for n in every if images[n].class_name != name],
            DUPLICATE_BITS,
        )
    # The copy in the held-out split stays, so the issue belongs to the other one.
    for split, held_out in (("train", ("val", "test")), ("val", ("test",))):
        yield (
            "leak",
            [n for n in every if images[n].split == split],
            [n for n in every if images[n].split in held_out],
            NEAR_DUPLICATE_BITS,
        )


def _duplicate_issue(issue_type: str, image: ScannedImage, duplicate_of: ScannedImage) -> Issue:
    return Issue(issue_type, image.path, f"as {duplicate_of.path}", image, duplicate_of)


def dataset_statistics(
    scan: DatasetScan, fingerprints: Sequence[Fingerprint], label_counts: Counter[str]
) -> DatasetStatistics:
    """Counts of the readable images: balance by split, box sizes, color."""
    readable = [pair for pair in zip(scan.images, fingerprints, strict=True) if not pair[1].error]
    balance: dict[str, Counter[str]] = defaultdict(Counter)
    sizes, no_cell = [0] * (len(FACE_SIZE_BINS) + 1), 0
    for image, fingerprint in readable:
        no_cell += uncovered_boxes(image, fingerprint.size)
        name = image.class_name or ("with boxes" if image.objects else "without boxes")
        balance[image.split or NOT_SPLIT][name if scan.layout != "images" else "images"] += 1
        for annotation in image.objects:
            side = longer_side_in_input(annotation.box, fingerprint.size)
            sizes[sum(side >= edge for edge in FACE_SIZE_BINS)] += 1
    gray = sum(fingerprint.is_gray for _, fingerprint in readable)
    return DatasetStatistics(
        layout=scan.layout,
        images=len(scan.images),
        balance={split: dict(sorted(counts.items())) for split, counts in sorted(balance.items())},
        labels=dict(label_counts.most_common()),
        box_sizes=dict(zip(face_size_bin_names(), sizes, strict=True)) if label_counts else {},
        no_cell=no_cell,
        gray=gray,
        color=len(readable) - gray,
        bytes=sum(fingerprint.file_size for _, fingerprint in readable),
    )


def face_size_bin_names() -> list[str]:
    """Names of the bins of the box size histogram."""
    return [
        f"below {FACE_SIZE_BINS[0]}",
        *(f"{a} to {b}" for a, b in pairwise(FACE_SIZE_BINS)),
        f"{FACE_SIZE_BINS[-1]} and more",
    ]


def count_issues(issues: Sequence[Issue]) -> dict[str, int]:
    """Number of issues by type, in the order of ISSUE_TYPES."""
    counts = Counter(issue.type for issue in issues)
    return {issue_type: counts[issue_type] for issue_type in ISSUE_TYPES if counts[issue_type]}
