"""Damaged files: a clear error or a correct result. scripts/fuzz/fuzz.py tries 20,000; here are some of each kind."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

SCRIPT = ROOT / "scripts" / "fuzz" / "fuzz.py"


def ends(*words: object) -> dict[str, str]:
    """The results of the 60 files of each kind; a failure is an error."""
    done = subprocess.run([sys.executable, str(SCRIPT), *map(str, words)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(re.findall(r"^(\w+) +60: (.*) \(", done.stdout, re.MULTILINE))


def test_damaged_files_are_refused_or_do_no_harm(tmp_path: Path) -> None:
    results = ends("--count", 360, "--seed", 1, "--keep", tmp_path / "kept")
    assert set(results) == {"model", "manifest", "golden", "image", "config", "flatbuffer"}
    assert results["model"] == "refused 60"  # the checksum differs
    assert all("refused" in result for result in results.values())
    assert all("correct" in results[kind] for kind in ("manifest", "golden", "image"))


def test_damaged_detectors_too(tmp_path: Path) -> None:
    kinds = "--kind", "manifest", "--kind", "golden"
    results = ends("--count", 120, "--seed", 1, "--keep", tmp_path / "kept", "--model", "detector", *kinds)
    assert set(results) == {"manifest", "golden"}
    assert all("refused" in result and "correct" in result for result in results.values())
