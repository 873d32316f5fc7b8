"""Names that the encoding of the terminal lacks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.images import picture

PROGRAM = "from pocketsight.device.cli.main import main; main(prog_name='pocketsight')"


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
