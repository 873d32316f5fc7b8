"""Names that the encoding of the terminal lacks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.splits import list_class_folders
from tests.support.images import coco, picture

PROGRAM = "from pocketsight.device.cli.main import main; main(prog_name='pocketsight')"


def test_names_that_are_no_text_are_drawn_and_reported(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    os.rename(tmp_path / "images" / "a.png", os.fsencode(tmp_path / "images") + b"/\xff\xfe.png")
    notes = [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 10, 20, 30]}]
    source = coco(tmp_path / "coco", annotations=notes, categories=[{"id": 1, "name": "f\ud800ce"}])
    for words in (
        ["check", str(tmp_path / "images"), "--html", str(tmp_path / "p.html"), "--min-side", "99"],
        ["import", str(source), "-o", str(tmp_path / "o.json")],  # draws the label
    ):
        done = subprocess.run([sys.executable, "-c", PROGRAM, "data", *words], capture_output=True, check=False)
        assert done.returncode in (0, 3), done.stderr
    assert "??.png" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_a_class_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    for name in (b"happy", b"\xff"):
        os.mkdir(os.fsencode(tmp_path) + b"/" + name)
    with pytest.raises(DataError, match="name is not UTF-8; rename it"):
        list_class_folders(tmp_path)


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}])
def test_output_is_escaped_instead_of_ending_in_an_error(tmp_path: Path, environment: dict[str, str]) -> None:
    data = tmp_path / "data"
    picture(data / "images" / "ü 顔.png")
    shape = {"label": "Gesicht 顔", "points": [[1, 1], [30, 30]], "shape_type": "rectangle"}
    (data / "labels").mkdir()
    content = json.dumps({"shapes": [shape], "imageWidth": 80, "imageHeight": 60}, ensure_ascii=False)
    (data / "labels" / "ü 顔.json").write_text(content, encoding="utf-8")
    words = ["data", "check", str(data), "--html", str(tmp_path / "p.html"), "--min-side", "99"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, env=os.environ | environment, check=False
    )
    assert done.returncode == 3 and b"Traceback" not in done.stderr
    assert b"\\u9854" in done.stdout
