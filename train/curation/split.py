"""`pocketsight data split`: train, val and test splits without near-duplicates across them.

The plan is written before any file is touched, and each file moves by one rename: an interrupted split can be resumed.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_path, write_json
from pocketsight.device.vision.image_kinds import describe_unread
from pocketsight.train.console import SizedProgressFn, log_message
from pocketsight.train.curation.grouping import assign_splits, group_images, stratum
from pocketsight.train.curation.image_hash import read_fingerprints
from pocketsight.train.curation.scan import DatasetScan, ScannedImage
from pocketsight.train.curation.split_plan import PLAN_FILE, SplitPlan, read_split_plan, write_coco_splits
from pocketsight.train.datasets.formats.labelme import read_labelme_image
from pocketsight.train.datasets.formats.writers import require_disjoint
from pocketsight.train.datasets.splits import SPLITS


class SplitResult(NamedTuple):
    """What a split did."""

    counts: dict[str, dict[str, int]]  # split -> stratum -> images
    changed_files: int


def split(
    scan: DatasetScan,
    shares: Mapping[str, float],
    seed: int,
    out: Path | None,
    mix_sessions: bool,
    reassign: bool,
    progress: SizedProgressFn,
) -> SplitResult:
    """Assign a split to each image without one, and move the files within the data, or copy them to `out`.

    Of a COCO file a copy is written for each split; its images stay. `shares` sum to 1. `mix_sessions` allows one
    session in several splits. `reassign` gives new splits to all images. Raises DataError.
    """
    _check_splittable(scan, out)
    scan = replace(scan, images=sorted(_reattach_labels(scan), key=lambda image: _plan_name(image, scan)))
    is_coco = scan.layout == "coco"
    root = out or (scan.root.parent if is_coco else scan.root)
    plan_path = root / (f"{scan.root.stem}_{PLAN_FILE}" if is_coco else PLAN_FILE)
    previous = read_split_plan(plan_path)
    if reassign and out and previous.images:
        raise DataError(f"{out} holds an earlier split; --reassign needs another --out")
    splits, images = _assign_images(scan, None if reassign else previous, shares, seed, mix_sessions, progress)
    plan = SplitPlan(seed, dict(shares), images)
    moves = [] if is_coco else _plan_moves(scan, splits, root, copy=out is not None)
    _check_no_overwrite(moves, {root / own for own, _ in previous.images.values()} if out else set())
    if moves:
        write_json(plan_path, replace(plan, unfinished=True).as_dict())
    for source, target in progress(moves, len(moves)):
        _place_file(source, target, copy=out is not None)
    changed = write_coco_splits(scan, splits, root, not previous.images) if is_coco else len(moves)
    if moves or plan.images != previous.images or previous.unfinished:
        write_json(plan_path, plan.as_dict())
    return SplitResult(_count_by_split(scan.images, splits), changed)


def _assign_images(
    scan: DatasetScan,
    previous: SplitPlan | None,
    shares: Mapping[str, float],
    seed: int,
    mix_sessions: bool,
    progress: SizedProgressFn,
) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """The split of each image, and the `images` of the plan. Without `previous` all images get new splits."""
    names = [_plan_name(image, scan) for image in scan.images]
    fingerprints = list(progress(read_fingerprints([image.path for image in scan.images]), len(names)))
    splits = _current_splits(scan, names, previous) if previous else [""] * len(names)
    groups = group_images(scan.images, fingerprints, splits, mix_sessions)
    assign_splits(groups, shares, seed)
    for group in groups:
        for n in group.indices:
            splits[n] = splits[n] or group.split
    return splits, {name: (own, f.sha256) for name, own, f in zip(names, splits, fingerprints, strict=True)}


def _check_splittable(scan: DatasetScan, out: Path | None) -> None:
    """Raises DataError when a split could only do harm."""
    unlabeled = (
        scan.layout == "labelme" and not scan.orphan_labels and not any(image.label_file for image in scan.images)
    )
    if scan.unread_images:
        log_message(describe_unread(scan.unread_images))
    if scan.layout == "images" or unlabeled:
        raise DataError(f"{scan.root} has neither labels nor class folders; label it first: pocketsight data label")
    if scan.layout == "coco":
        return
    root = scan.root.resolve()
    if out:
        require_disjoint(out, root)
        return
    for image in scan.images:
        if image.path.is_symlink() or not image.path.resolve().is_relative_to(root):
            raise DataError(f"{image.path} is a link, or in a linked folder; copy instead of moving: --out FOLDER")


def _reattach_labels(scan: DatasetScan) -> Iterator[ScannedImage]:
    """The images, with the labels of those whose label file alone was moved before an interruption."""
    orphans = {
        path.relative_to(tree).with_suffix(""): path
        for path in scan.orphan_labels
        for tree in [next(parent for parent in path.parents if parent.name == "labels")]
    }
    for image in scan.images:
        file = None if image.label_file else orphans.get(scan.relative_path(image).with_suffix(""))
        if file:
            annotations = read_labelme_image(image.path, file).annotations
            image = replace(image, label_file=file, annotations=annotations)
        yield image


def _current_splits(scan: DatasetScan, names: Sequence[str], previous: SplitPlan) -> list[str]:
    """The split that each image already has: by its folder, or by the plan of an interrupted split. Else ""."""
    planned = [previous.images.get(name, ("", ""))[0] for name in names]
    by_folder = ["" if scan.layout == "coco" else image.split for image in scan.images]
    pairs = zip(planned, by_folder, strict=True)
    return [plan or folder if previous.unfinished else folder or plan for plan, folder in pairs]


def _plan_name(image: ScannedImage, scan: DatasetScan) -> str:
    """The name of an image in the plan. It is the same before and after the move."""
    return (Path(image.class_name) / scan.relative_path(image)).as_posix()


def _plan_moves(scan: DatasetScan, splits: Sequence[str], root: Path, copy: bool) -> list[tuple[Path, Path]]:
    """(source, target) of each file that is not in place yet. A label file comes before its image."""
    moves = []
    for image, split_name in zip(scan.images, splits, strict=True):
        inner = scan.relative_path(image)
        if scan.layout == "labelme":
            if image.label_file:
                moves.append((image.label_file, root / split_name / "labels" / inner.with_suffix(".json")))
            moves.append((image.path, root / split_name / "images" / inner))
        else:
            moves.append((image.path, root / split_name / image.class_name / inner))
    return [
        (source, target) for source, target in moves if source != target and not (copy and _is_copied(source, target))
    ]


def _is_copied(source: Path, target: Path) -> bool:
    """Whether the copy of an earlier split is up to date."""
    return target.exists() and target.read_bytes() == source.read_bytes()


def _check_no_overwrite(moves: Sequence[tuple[Path, Path]], own_folders: set[Path]) -> None:
    """Raises DataError when two files would get one name. Copies of an earlier split, in `own_folders`, are renewed."""
    counts = Counter(target for _, target in moves)
    sources = {source for source, _ in moves}
    for _, target in moves:
        is_foreign = target.exists() and target not in sources and not own_folders & set(target.parents)
        if counts[target] > 1 or is_foreign:
            raise DataError(f"{target} would be overwritten; rename one of the files of that name. Nothing was moved")


def _place_file(source: Path, target: Path, copy: bool) -> None:
    """Move or copy one file. An interrupted copy leaves no incomplete target."""
    if copy:
        with atomic_path(target) as temporary:
            shutil.copy2(source, temporary)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
    except OSError as error:
        fix = "copy instead: --out FOLDER" if error.errno == errno.EXDEV else "then run the same command again"
        raise DataError(f"{target} cannot be written: {error.strerror}; {fix}") from error


def _count_by_split(images: Sequence[ScannedImage], splits: Sequence[str]) -> dict[str, dict[str, int]]:
    """split -> stratum -> images."""
    rows: dict[str, Counter[str]] = {name: Counter() for name in SPLITS}
    for image, name in zip(images, splits, strict=True):
        rows[name][stratum(image)] += 1
    return {name: dict(sorted(counts.items())) for name, counts in rows.items() if counts}
