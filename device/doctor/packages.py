"""Checks of Python and its packages: do they fit together, and do the models load?"""

from __future__ import annotations

import platform
import struct
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from pocketsight.device.doctor import known_errors, probe
from pocketsight.device.doctor.probe import ProbeResult, run_probe
from pocketsight.device.doctor.report import Finding, Level
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.model_choice import find_classifier, read_detector_spec, require_pair
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import NO_MODEL
from pocketsight.device.system.install_hint import install_command
from pocketsight.device.system.paths import ROOT

ProbeFn = Callable[..., ProbeResult]

INTERPRETER_PACKAGES = "tflite-runtime", "ai-edge-litert"
OPENCV_PACKAGES = "opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"
EXTRAS = {"mqtt": ("paho",), "web": ("starlette", "uvicorn", "prometheus_client")}
MIN_PYTHON = 3, 11
LAST_32_BIT_PYTHON = 3, 11
MAX_LINE = 160  # characters of an error in a finding


def check_python(now: tuple[int, ...] = sys.version_info[:3], bits: int = 8 * struct.calcsize("P")) -> Finding:
    """Is Python new enough, and is there a TFLite interpreter for it?"""
    where = f"in {sys.prefix}" if sys.prefix != sys.base_prefix else "of the system, not an environment"
    message = f"{'.'.join(map(str, now))}, {bits} bits, {platform.machine()}, {where}"
    if now[:2] < MIN_PYTHON:
        return Finding("Python", "fail", message, "pocketsight needs Python 3.11: upgrade the system")
    if bits == 32 and now[:2] > LAST_32_BIT_PYTHON:
        fix = "no TFLite for 32-bit Python after 3.11; install the 64-bit system, which runs on every Pi since the 3"
        return Finding("Python", "warn", message, fix)
    return Finding("Python", "ok", message)


def check_interpreter(model: Path, run_probe: ProbeFn = run_probe) -> Finding:
    """Does TFLite run with the installed numpy? `model` must be an undamaged model file."""
    result = run_probe(probe.INTERPRETER_PROBE, [model])
    if result.output:
        package = result.output["package"].replace("_", "-")
        message = f"{package} {_package_version(package)} with numpy {result.output['numpy']}"
        return Finding("interpreter", "ok", message)
    if known_errors.find_fix(result.stderr) == known_errors.NUMPY_1_FIX:
        package = next((name for name in INTERPRETER_PACKAGES if _package_version(name)), "the interpreter")
        built, numpy = f"{package} {_package_version(package)}", _package_version("numpy")
        message = f"{built} was built for numpy 1, but numpy {numpy} is installed"
        return Finding("interpreter", "fail", message, known_errors.NUMPY_1_FIX)
    return _failed_probe("interpreter", result, install_command("board", options="--force-reinstall"))


def check_opencv(run_probe: ProbeFn = run_probe, installed: Callable[[str], str] | None = None) -> Finding:
    """Is OpenCV installed, by one package only?"""
    result = run_probe(probe.OPENCV_PROBE)
    if not result.output:
        reinstall = install_command("opencv", options="--force-reinstall")
        return _failed_probe("OpenCV", result, f"{reinstall}, or use the package of apt on a Raspberry Pi")
    owners = [name for name in OPENCV_PACKAGES if (installed or _package_version)(name)]
    number = result.output["version"]
    if len(owners) > 1:
        fix = f"they overwrite each other: pip uninstall {' '.join(owners)}, then pip install {owners[-1]}"
        return Finding("OpenCV", "warn", f"{number}, but {' and '.join(owners)} are both installed", fix)
    return Finding("OpenCV", "ok", f"{number}, {owners[0] if owners else result.output['file']}")


def check_picamera2(
    is_pi: bool, root: Path = ROOT, run_probe: ProbeFn = run_probe, is_installed: Callable[[], bool] | None = None
) -> Finding | None:
    """Can this environment use a Pi camera? Only a Raspberry Pi needs it."""
    in_system = any(root.glob("usr/lib/python3*/dist-packages/picamera2"))
    if not (is_installed() if is_installed else find_spec("picamera2")):
        if in_system:
            fix = f"python3 -m venv --system-site-packages {sys.prefix} (keeps the installed packages)"
            return Finding("picamera2", "warn", "only the Python of the system has it, not this environment", fix)
        fix = "for a Pi camera: sudo apt install python3-picamera2"
        return Finding("picamera2", "warn", "not installed; USB cameras work without it", fix) if is_pi else None
    result = run_probe(probe.PICAMERA2_PROBE)
    if result.output:
        return Finding("picamera2", "ok", f"available, {Path(result.output['file']).parent}")
    return _failed_probe("picamera2", result, "sudo apt install --reinstall python3-picamera2", "warn")


def check_models(detector: Path, classifier: Path | None, run_probe: ProbeFn = run_probe) -> Finding:
    """Are the files undamaged and for their task, and do they run? `classifier` None: the one that `run` would take."""
    info_fix = "pocketsight info MODEL shows details"
    try:
        specs = [read_detector_spec(detector)]
        if classifier := find_classifier(classifier, specs[0]):
            specs.append(read_model_file(classifier)[1])
        require_pair(specs[0], specs[1] if classifier else None, classifier)
    except ModelError as error:
        return Finding("models", "fail", str(error), "copy it again, or use the shipped models")
    models = [("detector", detector, specs[0])] if detector != NO_MODEL else []
    models += [("classifier", classifier, specs[1])] if classifier else []
    for task, path, spec in models:
        if spec.task != task:
            return Finding("models", "fail", f"{path} is a {spec.task} model", f"give --{task} a {task} model")
    result = run_probe(probe.MODELS_PROBE, [path for _, path, _ in models])
    if not result.output:
        return _failed_probe("models", result, info_fix)
    if message := result.output["error"]:
        return Finding("models", "fail", message, known_errors.find_fix(message) or info_fix)
    texts = []
    for task, path, spec in models:
        size = f" at {spec.input_size[1]}x{spec.input_size[0]}" if task == "detector" else ""
        texts.append(f"{path.stem} {spec.short_sum} ({' or '.join(spec.reported_labels)}{size})")
    return Finding("models", "ok", f"intact and running: {', '.join(texts)}")


def check_extras(is_installed: Callable[[str], bool] = lambda name: find_spec(name) is not None) -> Finding:
    """Which optional parts are installed."""
    installed = {extra: all(is_installed(module) for module in modules) for extra, modules in EXTRAS.items()}
    message = ", ".join(f"{extra} {'installed' if yes else 'not installed'}" for extra, yes in installed.items())
    missing = [extra for extra, yes in installed.items() if not yes]
    return Finding("extras", "ok", message, f"if you need it: {install_command(*missing)}" if missing else "")


def _failed_probe(name: str, result: ProbeResult, default_fix: str, level: Level = "fail") -> Finding:
    line = _first_known_error(result)
    message = line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 3]}..."
    return Finding(name, level, message, known_errors.find_fix(result.stderr) or default_fix)


def _first_known_error(result: ProbeResult) -> str:
    """The first known error of a traceback: later ones are mostly consequences of it."""
    lines = [line.strip() for line in result.stderr.splitlines()]
    known = (line for line in lines if known_errors.find_fix(line) and not line.startswith(("File", "raise")))
    return next(known, result.last_line)


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
