"""The truth set of the labeling tools. The tools themselves run only where LABELING_TOOLS names a folder for them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow

from tests.support import ROOT

FOLDER = ROOT / "scripts" / "labeling_tools"
sys.path.append(str(FOLDER))

import compare  # type: ignore[import-not-found] # noqa: E402
import truth  # type: ignore[import-not-found] # noqa: E402


def write_coco(folder: Path, shift: float = 0.0) -> None:
    """The truth set as a COCO file in EXPORTS/us/coco, with the first box of each image moved by `shift` px."""
    known = json.loads((folder / "truth.json").read_text())
    target = folder / "exports" / "us" / "coco"
    target.mkdir(parents=True, exist_ok=True)
    (target / "images").unlink(missing_ok=True)
    (target / "images").symlink_to(folder / "images")
    rows: list[dict[str, object]] = []
    notes: list[dict[str, object]] = []
    for number, (name, entry) in enumerate(known.items()):
        with Pillow.open(folder / "images" / name) as image:
            rows.append({"id": number, "file_name": name, "width": image.width, "height": image.height})
        for n, shape in enumerate(entry["shapes"]):
            left, top, right, bottom = shape["box"]
            note = {"id": len(notes), "image_id": number, "category_id": shape["label"]}
            bbox = [left + shift * (n == 0), top, right - left, bottom - top]
            notes.append(note | {"bbox": bbox, "iscrowd": int(shape.get("crowd", False))})
    kinds = [{"id": name, "name": name} for name in ("face", "dog")]
    (target / "a.json").write_text(json.dumps({"images": rows, "annotations": notes, "categories": kinds}))


def test_the_truth_set_survives_coco_with_raw_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth.main(tmp_path)
    write_coco(tmp_path)
    assert compare.main(tmp_path, tmp_path / "exports") == 0
    assert "18 images, 0.00 px, rotated 0.00 px, boxes lost: none" in " ".join(capsys.readouterr().out.split())
    write_coco(tmp_path, shift=1.0)
    assert compare.main(tmp_path, tmp_path / "exports") == 1


@pytest.mark.skipif("LABELING_TOOLS" not in os.environ, reason="set LABELING_TOOLS=FOLDER to install them there")
def test_the_truth_set_survives_the_labeling_tools() -> None:
    done = subprocess.run([FOLDER / "run.sh", os.environ["LABELING_TOOLS"]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
