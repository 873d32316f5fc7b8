"""Probes: code that runs in a child process, because a library that does not fit can crash Python or hang."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROBE_TIMEOUT = 120.0  # seconds; a slow board that is busy with a run takes 40, all probes at once

# The last line of each probe's output is JSON.
OPENCV_PROBE = "import cv2, json; print(json.dumps({'version': cv2.__version__, 'file': cv2.__file__ or ''}))"
PICAMERA2_PROBE = "import picamera2, json; print(json.dumps({'file': picamera2.__file__}))"
INTERPRETER_PROBE = """
import json, sys
from pathlib import Path
from pocketsight.device.inference.model_file import read_model_file
import numpy
try:
    import ai_edge_litert.interpreter as runtime
except ModuleNotFoundError as error:
    if error.name and not error.name.startswith("ai_edge_litert"): raise
    import tflite_runtime.interpreter as runtime
flatbuffer = read_model_file(Path(sys.argv[1]))[0]
interpreter = runtime.Interpreter(model_content=flatbuffer)  # fails here, not earlier, with a numpy that does not fit
interpreter.allocate_tensors()
interpreter.invoke()
print(json.dumps({"package": runtime.__name__.split(".")[0], "numpy": numpy.__version__}))
"""
MODELS_PROBE = """
import json, sys
from pathlib import Path
import numpy as np
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.interpreter import load_on_cpu
try:
    for path in sys.argv[1:]:
        model = load_on_cpu(Path(path))
        model.infer(np.zeros((*model.spec.input_size, 3), np.uint8))
    print(json.dumps({"error": ""}))
except ModelError as error:
    print(json.dumps({"error": str(error)}))
"""


@dataclass(frozen=True)
class ProbeResult:
    """The result of a probe."""

    output: dict[str, Any] | None  # None: it failed
    stderr: str  # standard error; for a crash or a hang also a line about that

    @property
    def last_line(self) -> str:
        """The last line that is not empty, which has the error of a traceback."""
        return next((line.strip() for line in reversed(self.stderr.splitlines()) if line.strip()), "no error message")


def run_probe(code: str, args: Sequence[str | Path] = (), timeout: float = PROBE_TIMEOUT) -> ProbeResult:
    """Run code in a child process with the same import path. Never raises because of the code."""
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
