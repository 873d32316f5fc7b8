"""split.json, the record of a split, and the COCO files of the splits."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.train.curation.scan import DatasetScan
from pocketsight.train.datasets.formats.base import explain_error
from pocketsight.train.datasets.formats.coco import find_own_images
from pocketsight.train.datasets.formats.layout import read_json
from pocketsight.train.datasets.splits import SPLITS

PLAN_FILE = "split.json"  # of a COCO file NAME.json: NAME_split.json


@dataclass(frozen=True)
class SplitPlan:
    """Which image belongs to which split."""

    seed: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # name -> (split, sha256 of the file)
    unfinished: bool = False  # some files have not been moved yet

    def as_dict(self) -> dict[str, Any]:
        """The content of split.json."""
        images = {name: {"split": split, "sha256": sha256} for name, (split, sha256) in self.images.items()}
        return {"unfinished": self.unfinished, "seed": self.seed, "shares": dict(self.shares), "images": images}


def read_split_plan(path: Path) -> SplitPlan:
    """The plan of an earlier split; an empty one without a file. Raises DataError.

    Files from before version 0.2.0 are read too: `pictures` for `images`, `part` for `split`.
    """
    if not path.exists():
        return SplitPlan()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        is_old = "pictures" in content
        images = {
            name: (row["part" if is_old else "split"], row.get("sha256", ""))
            for name, row in content["pictures" if is_old else "images"].items()
        }
        if unknown := {split for split, _ in images.values()} - set(SPLITS):
            raise ValueError(f"split {unknown.pop()!r}")
        return SplitPlan(
            content.get("seed", 0), content.get("shares", {}), images, bool(content.get("unfinished", False))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not the plan of a split ({explain_error(error)}); move it away to split again"
        ) from error


def write_coco_splits(scan: DatasetScan, splits: Sequence[str], root: Path, is_first_split: bool) -> int:
    """Write one COCO file for each split that has images, and return the number of files that changed.

    Raises DataError when the first split would overwrite a file.
    """
    content = read_json(scan.root)
    split_of = {image.path: name for image, name in zip(scan.images, splits, strict=True)}
    paths = [Path(os.path.normpath(path)) for path in find_own_images(content, scan.root)]
    changed: dict[Path, str | None] = {}
    for name in SPLITS:
        rows = [
            {**row, "file_name": os.path.relpath(path, root)}
            for row, path in zip(content["images"], paths, strict=True)
            if split_of.get(path) == name
        ]
        ids = {row["id"] for row in rows}
        annotations = [row for row in content["annotations"] if row["image_id"] in ids]
        target = root / f"{scan.root.stem}_{name}.json"
        text = json.dumps({**content, "images": rows, "annotations": annotations}) if rows else None
        if text != (target.read_text(encoding="utf-8") if target.exists() else None):
            changed[target] = text
    existing = [target for target in changed if target.exists()]
    if is_first_split and existing:
        raise DataError(
            f"{existing[0]} would be overwritten; move it away, or choose another --out. Nothing was written"
        )
    for target, text in changed.items():
        if text:
            atomic_write(target, text)
        else:
            target.unlink()
    return len(changed)
