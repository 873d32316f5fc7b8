"""Python and what was installed into it: do the parts fit each other, and do the models load in them?"""

from __future__ import annotations

import platform
import struct
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from pocketsight.device.doctor import known_errors, probe
from pocketsight.device.doctor.probe import ProbeResult, run_probe
from pocketsight.device.doctor.report import Finding, Level
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.manifest import TASKS
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.system.paths import ROOT

ProbeFn = Callable[..., ProbeResult]

OPENCV_PACKAGES = "opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"
EXTRAS = {"mqtt": ("paho",), "web": ("starlette", "uvicorn", "prometheus_client")}
MIN_PYTHON = 3, 11


def check_python(now: tuple[int, ...] = sys.version_info[:3], bits: int = 8 * struct.calcsize("P")) -> Finding:
    """Is it new enough, and is there an interpreter of TFLite for it?"""
    where = f"in {sys.prefix}" if sys.prefix != sys.base_prefix else "of the system, no environment"
    says = f"{'.'.join(map(str, now))}, {bits} bits, {platform.machine()}, {where}"
    if now[:2] < MIN_PYTHON:
        return Finding("Python", "fail", says, "pocketsight needs 3.11: take a newer release of the system")
    if bits == 32 and now[:2] > MIN_PYTHON:
        cure = "TFLite for 32 bits ends with Python 3.11; take the 64-bit system, which every Pi since the 3 can run"
        return Finding("Python", "warn", says, cure)
    return Finding("Python", "ok", says)


def check_interpreter(model: Path, run_probe: ProbeFn = run_probe) -> Finding:
    """Does TFLite run here, with the numpy that is here? `model` is one that is whole."""
    result = run_probe(probe.INTERPRETER_PROBE, [model])
    if result.output:
        package = result.output["package"].replace("_", "-")
        return Finding(
            "interpreter", "ok", f"{package} {_package_version(package)} with numpy {result.output['numpy']}"
        )
    if known_errors.find_fix(result.stderr) == known_errors.NUMPY_1_FIX:
        package = next(
            (name for name in ("tflite-runtime", "ai-edge-litert") if _package_version(name)), "the interpreter"
        )
        says = (
            f"{package} {_package_version(package)} was built for numpy 1 and finds numpy {_package_version('numpy')}"
        )
        return Finding("interpreter", "fail", says, known_errors.NUMPY_1_FIX)
    return _failed_probe("interpreter", result, "pip install --force-reinstall 'pocketsight[board]'")


def check_opencv(run_probe: ProbeFn = run_probe, installed: Callable[[str], str] | None = None) -> Finding:
    """Is it there, once?"""
    result = run_probe(probe.OPENCV_PROBE)
    if not result.output:
        return _failed_probe(
            "OpenCV", result, "pip install --force-reinstall 'pocketsight[opencv]', or on a Pi take apt's"
        )
    owners = [name for name in OPENCV_PACKAGES if (installed or _package_version)(name)]
    says = f"{result.output['version']}, {owners[0] if owners else result.output['file']}"
    if len(owners) > 1:
        cure = f"they overwrite each other: pip uninstall {' '.join(owners)}, then pip install {owners[-1]}"
        return Finding("OpenCV", "warn", f"{result.output['version']}, but {' and '.join(owners)} both own cv2", cure)
    return Finding("OpenCV", "ok", says)


def check_picamera2(
    is_pi: bool, root: Path = ROOT, run_probe: ProbeFn = run_probe, is_installed: Callable[[], bool] | None = None
) -> Finding | None:
    """Can a Pi camera be used from this environment? Of no matter elsewhere than on a Raspberry Pi."""
    system = any(root.glob("usr/lib/python3*/dist-packages/picamera2"))
    if not (is_installed() if is_installed else find_spec("picamera2")):
        if system:
            cure = f"python3 -m venv --system-site-packages {sys.prefix} (it keeps what is installed)"
            return Finding("picamera2", "warn", "only the system's Python has it, this environment does not", cure)
        cure = "for a camera on the ribbon: sudo apt install python3-picamera2"
        return Finding("picamera2", "warn", "not installed; USB cameras work without it", cure) if is_pi else None
    result = run_probe(probe.PICAMERA2_PROBE)
    if result.output:
        return Finding("picamera2", "ok", f"visible, {Path(result.output['file']).parent}")
    return _failed_probe("picamera2", result, "sudo apt install --reinstall python3-picamera2", "warn")


def check_models(detector: Path, classifier: Path, run_probe: ProbeFn = run_probe) -> Finding:
    """Are both whole and for their task, and do they give an answer?"""
    try:
        specs = [read_model_file(path)[1] for path in (detector, classifier)]
    except ModelError as error:
        return Finding("models", "fail", str(error), "copy it again, or take those that come with pocketsight")
    for spec, task, path in zip(specs, TASKS, (detector, classifier), strict=True):
        if spec.task != task:
            return Finding("models", "fail", f"{path} is a {spec.task} model", f"give --{task} a {task} model")
    result = run_probe(probe.MODELS_PROBE, [detector, classifier])
    if result.output and "error" in result.output:
        message = result.output["error"]
        return Finding("models", "fail", message, known_errors.find_fix(message) or "pocketsight info MODEL tells more")
    if not result.output:
        return _failed_probe("models", result, "pocketsight info MODEL tells more")
    found = specs[0].labels[0], " or ".join(specs[1].reported_labels)
    return Finding(
        "models", "ok", f"both are whole and run: {found[0]} at {_format_size(specs[0].input_size)}, {found[1]}"
    )


def check_extras(is_installed: Callable[[str], bool] = lambda name: find_spec(name) is not None) -> Finding:
    """Which parts that one may leave out are there."""
    there = {extra: all(is_installed(module) for module in modules) for extra, modules in EXTRAS.items()}
    says = ", ".join(f"{extra} {'installed' if yes else 'not installed'}" for extra, yes in there.items())
    lacking = [extra for extra, yes in there.items() if not yes]
    cure = f"when you want it: pip install 'pocketsight[{','.join(lacking)}]'" if lacking else ""
    return Finding("extras", "ok", says, cure)


def _failed_probe(name: str, result: ProbeResult, default_fix: str, level: Level = "fail") -> Finding:
    return Finding(
        name, level, _truncate(_first_known_error(result)), known_errors.find_fix(result.stderr) or default_fix
    )


def _first_known_error(result: ProbeResult) -> str:
    """The first error of a traceback: what comes after is mostly its echo."""
    lines = [line.strip() for line in result.stderr.splitlines()]
    known: Iterable[str] = (
        line for line in lines if known_errors.find_fix(line) and not line.startswith(("File", "raise"))
    )
    return next(iter(known), result.last_line)


def _truncate(line: str) -> str:
    return line if len(line) <= 160 else f"{line[:157]}..."


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _format_size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
