"""The measurement of training steps in scripts/benchmarks/gpu.py, on the CPU."""

import json
import subprocess
import sys
from pathlib import Path

from pocketsight.device.synthetic.faces import write_detection_dataset
from tests.support import ROOT


def test_steps_of_the_detector_have_speeds_and_losses(tmp_path: Path) -> None:
    write_detection_dataset(tmp_path / "detector" / "train", 4, seed=0)
    script = str(ROOT / "scripts" / "benchmarks" / "gpu.py")
    words = [sys.executable, script, "steps", "detector", str(tmp_path), "float32", "1", "2"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["images_per_s"]["2"] >= 0 and len(result["losses"]) == 2
