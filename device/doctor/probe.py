"""Trying things in a process of their own: a library that does not fit here may crash Python, or hang."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROBE_TIMEOUT = 30.0  # seconds; a cold SD card takes 10 for OpenCV

# Each prints one line of JSON, and nothing else of ours.
OPENCV_PROBE = "import cv2, json; print(json.dumps({'version': cv2.__version__, 'file': cv2.__file__ or ''}))"
PICAMERA2_PROBE = "import picamera2, json; print(json.dumps({'file': picamera2.__file__}))"
INTERPRETER_PROBE = """
import json, sys
from pocketsight.device.spec import unpack
from pathlib import Path
import numpy
try:
    import ai_edge_litert.interpreter as runtime
except ModuleNotFoundError as error:
    if error.name and not error.name.startswith("ai_edge_litert"): raise
    import tflite_runtime.interpreter as runtime
found = runtime.Interpreter(model_content=unpack(Path(sys.argv[1]))[0])  # numpy that does not fit shows only here
found.allocate_tensors()
found.invoke()
print(json.dumps({"package": runtime.__name__.split(".")[0], "numpy": numpy.__version__}))
"""
MODELS_PROBE = """
import json, sys
from pathlib import Path
import numpy as np
from pocketsight.device.errors import ModelError
from pocketsight.device.interpreter import load
try:
    loaded = [load(Path(path), task) for task, path in zip(("detector", "classifier"), sys.argv[1:])]
    for each in loaded:
        each.model(np.zeros((*each.spec.size, 3), np.uint8))
    print(json.dumps({"runtime": loaded[0].model.runtime}))
except ModelError as error:
    print(json.dumps({"error": str(error)}))
"""


@dataclass(frozen=True)
class ProbeResult:
    """How it went."""

    output: dict[str, Any] | None  # None: it failed
    stderr: str  # what it printed to standard error, and how it ended

    @property
    def last_line(self) -> str:
        """The line of the error that says most: the last one that is not empty."""
        return next((line.strip() for line in reversed(self.stderr.splitlines()) if line.strip()), "it said nothing")


def run_probe(code: str, args: Sequence[str | Path] = (), timeout: float = PROBE_TIMEOUT) -> ProbeResult:
    """Run code in a child that sees the same packages as we do. Never raises for what the code does."""
    flags = [flag for flag, on in (("-I", sys.flags.isolated), ("-S", sys.flags.no_site)) if on]
    start = f"import sys; sys.path[:] = {[path for path in sys.path if path]!r}\n"
    command = [sys.executable, *flags, "-c", start + code, *map(str, args)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired:
        return ProbeResult(None, f"it did not end within {timeout:.0f} s")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return ProbeResult(None, f"{done.stderr}\nit crashed with {name}")
    if done.returncode:
        return ProbeResult(None, done.stderr)
    return ProbeResult(json.loads(done.stdout.strip().splitlines()[-1]), done.stderr)
