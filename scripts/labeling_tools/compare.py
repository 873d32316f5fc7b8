"""Import what a labeling tool wrote of the truth set, and compare the boxes with the truth.

python compare.py TRUTH EXPORTS     # one line for each folder EXPORTS/TOOL/FORMAT
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from click.testing import CliRunner

from pocketsight.device.cli.main import main as pocketsight
from pocketsight.train.datasets.detection import DetectionSample, read_detection_dataset

MAX_ERROR = 0.51  # px; a tool that rounds is up to half a px off
TOOL_ERRORS = {("fiftyone", "voc"): 1.01, ("labelstudio", "voc"): 2.0}  # these cut fractions off
LOST_PX = 20  # a true box without one as near as this was lost


class Comparison(NamedTuple):
    """What an import made of an export."""

    images: int
    lost_images: list[str]
    max_error: float  # px, of the upright shapes that were found
    max_rotated_error: float  # px, of the rotated boxes that were found
    lost_boxes: dict[str, int]  # by kind: box, polygon, rotated, crowd
    message: str  # where the import failed


def compare(truth: dict[str, Any], export: Path) -> Comparison:
    """Import the faces of one export, and find each true box in it."""
    with TemporaryDirectory() as temporary:
        out = Path(temporary, "out.json")
        words = ["data", "import", str(export), "--label", "face", "-o", str(out)]
        done = CliRunner().invoke(pocketsight, words)
        if "has the splits" in done.output:
            done = CliRunner().invoke(pocketsight, [*words, "--split", "train"])
        if done.exit_code:
            return Comparison(0, [], 0.0, 0.0, {}, done.output.strip().splitlines()[-1])
        (samples,) = read_detection_dataset(out).splits.values()
    by_name = {_normal_name(sample.path.name): sample for sample in samples}
    lost = [name for name in truth if _normal_name(Path(name).name) not in by_name]
    errors, rotated_errors, lost_boxes = [0.0], [0.0], dict[str, int]()
    for name, entry in truth.items():
        sample = by_name.get(_normal_name(Path(name).name))
        for shape in entry["shapes"]:
            error = _nearest_error(sample, shape) if sample and shape["label"] == "face" else None
            if sample and shape["label"] == "face" and (error is None or error > LOST_PX):
                kind = next((key for key in ("crowd", "rotation", "points") if shape.get(key)), "box")
                lost_boxes[kind] = lost_boxes.get(kind, 0) + 1
            elif error is not None:
                (rotated_errors if "rotation" in shape else errors).append(error)
    return Comparison(len(samples), lost, max(errors), max(rotated_errors), lost_boxes, "")


def _normal_name(name: str) -> str:
    return re.sub(r"^[0-9a-f]{8}-", "", Path(name).stem).replace(" ", "_").lower()


def _nearest_error(sample: DetectionSample, shape: dict[str, Any]) -> float | None:
    """The largest difference of a side between a true box and the nearest one, in px; None without any box."""
    boxes = np.concatenate([sample.boxes, sample.ignored_boxes])
    return float(np.abs(boxes - np.array(shape["box"])).max(1).min()) if len(boxes) else None


def main(truth_folder: Path, exports: Path) -> int:
    """Print a table. Returns 1 when an import failed, or a box of a tool that writes it right is off."""
    truth = json.loads((truth_folder / "truth.json").read_text(encoding="utf-8"))
    status = 0
    for export in sorted(path for path in exports.glob("*/*") if path.is_dir()):
        found = compare(truth, export)
        lost = ", ".join(f"{count} {kind}" for kind, count in found.lost_boxes.items()) or "none"
        names = f"; images lost: {', '.join(found.lost_images)}" if found.lost_images else ""
        errors = f"{found.max_error:.2f} px, rotated {found.max_rotated_error:.2f} px"
        text = found.message or f"{found.images} images, {errors}, boxes lost: {lost}{names}"
        print(f"{export.parent.name:14} {export.name:14} {text}")
        limit = TOOL_ERRORS.get((export.parent.name, export.name), MAX_ERROR)
        status |= bool(found.message or names) or found.max_error > limit
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
