"""device/ in an environment that has neither TensorFlow nor train/ and export/."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from tests.support import ROOT


def link_package(name: str, site: Path, done: set[str]) -> None:
    """Link an installed distribution, and what it needs, into `site`."""
    if name.lower() in done:
        return
    done.add(name.lower())
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return  # for another platform or extra
    for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(found.locate_file(top))))
    for need in found.requires or ():
        if "extra ==" not in need:
            link_package(re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0], site, done)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site-packages with the board's packages and our device/ and models/ only."""
    site = tmp_path_factory.mktemp("site")
    done: set[str] = set()
    for name in ("numpy", "click", "opencv-python-headless", "ai-edge-litert", "tflite-runtime"):
        link_package(name, site, done)
    assert not {"tensorflow", "keras"} & done
    (site / "pocketsight").mkdir()
    for folder in ("device", "models"):
        (site / "pocketsight" / folder).symlink_to(ROOT / folder)
    info = site / "pocketsight-0.dist-info"  # what pip would write for the board
    info.mkdir()
    board = 'Provides-Extra: board\nRequires-Dist: ai-edge-litert>=1.2; extra == "board"\n'
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pocketsight\nVersion: 0\n{board}")
    return site


def python(site: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run code that sees nothing but the standard library and `site`."""
    start = f"import sys; sys.path.append({str(site)!r}); {code}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", start, *words], capture_output=True, text=True, env=environment
    )


def test_run_bench_and_info_need_nothing_else(board: Path) -> None:
    for absent in ("tensorflow", "keras", "pocketsight.train", "pocketsight.export", "rich", "albumentations"):
        assert python(board, f"import {absent}").returncode == 1, absent
    main = "from pocketsight.device.cli.main import main; main(prog_name='pocketsight')"
    example = str(ROOT / "models" / "example.jpg")
    done = python(board, main, "run", "--camera", example)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["faces"]) == 1
    assert python(board, main, "bench", "--frames", "3", "--json").returncode == 0
    assert "times as long" in python(board, main, "info", str(ROOT / "models" / "detector.tflite"), "--macs").stdout


def test_no_interpreter_is_one_line_with_the_fix(board: Path) -> None:
    block = "sys.modules.update(dict.fromkeys(('ai_edge_litert', 'tflite_runtime')));"
    done = python(board, block + "from pocketsight.device.cli.main import main; main()", "bench")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: no TFLite interpreter is installed")
    assert done.stderr.endswith(" install 'ai-edge-litert>=1.2'\n") and done.stderr.count("\n") == 1
