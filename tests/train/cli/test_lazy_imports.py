"""Help and errors of the commands come at once: the slow packages are imported when the work begins."""

import subprocess
import sys

import pytest

SLOW = "tensorflow", "keras", "jax", "torch", "albumentations", "cv2", "matplotlib", "sklearn"


@pytest.mark.parametrize("module", ["train.cli.train", "train.cli.evaluate", "train.cli.data", "export.cli"])
def test_a_command_imports_nothing_slow(module: str) -> None:
    code = f"import sys, pocketsight.{module}; print([name for name in {SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
