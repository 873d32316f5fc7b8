"""Damaged files: a clear error or a right answer. scripts/fuzz/fuzz.py tries 20,000; here are some of each kind."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

SCRIPT = ROOT / "scripts" / "fuzz" / "fuzz.py"


def ends(*words: object) -> dict[str, str]:
    """How the 60 files of each kind ended; one that ended badly is an error."""
    done = subprocess.run([sys.executable, str(SCRIPT), *map(str, words)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(re.findall(r"^(\w+) +60: (.*) \(", done.stdout, re.MULTILINE))


def test_damaged_files_are_refused_or_do_no_harm(tmp_path: Path) -> None:
    ways = ends("--count", 360, "--seed", 1, "--keep", tmp_path / "kept")
    assert set(ways) == {"model", "manifest", "golden", "picture", "settings", "forged"}
    assert ways["model"] == "refused 60"  # the sum tells
    assert all("refused" in way for way in ways.values())
    assert all("right" in ways[kind] for kind in ("manifest", "golden", "picture"))


def test_damaged_detectors_too(tmp_path: Path) -> None:
    kinds = "--kind", "manifest", "--kind", "golden"
    ways = ends("--count", 120, "--seed", 1, "--keep", tmp_path / "kept", "--subject", "detector", *kinds)
    assert set(ways) == {"manifest", "golden"}
    assert all("refused" in way and "right" in way for way in ways.values())
