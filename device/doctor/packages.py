"""Python and what was installed into it: do the parts fit each other, and do the models load in them?"""

from __future__ import annotations

import platform
import struct
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from pocketsight.device.doctor import child, texts
from pocketsight.device.doctor.child import Tried, attempt
from pocketsight.device.doctor.finding import Finding, Level
from pocketsight.device.errors import ModelError
from pocketsight.device.spec import TASKS, unpack

Attempt = Callable[..., Tried]

OPENCVS = "opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"
EXTRAS = {"mqtt": ("paho",), "web": ("starlette", "uvicorn", "prometheus_client")}
OLDEST = 3, 11
ROOT = Path("/")


def python(now: tuple[int, ...] = sys.version_info[:3], bits: int = 8 * struct.calcsize("P")) -> Finding:
    """Is it new enough, and is there an interpreter of TFLite for it?"""
    where = f"in {sys.prefix}" if sys.prefix != sys.base_prefix else "of the system, no environment"
    says = f"{'.'.join(map(str, now))}, {bits} bits, {platform.machine()}, {where}"
    if now[:2] < OLDEST:
        return Finding("Python", "fail", says, "pocketsight needs 3.11: take a newer release of the system")
    if bits == 32 and now[:2] > OLDEST:
        cure = "TFLite for 32 bits ends with Python 3.11; take the 64-bit system, which every Pi since the 3 can run"
        return Finding("Python", "warn", says, cure)
    return Finding("Python", "ok", says)


def interpreter(model: Path, attempt: Attempt = attempt) -> Finding:
    """Does TFLite run here, with the numpy that is here? `model` is one that is whole."""
    tried = attempt(child.INTERPRETER, [model])
    if tried.answer:
        package = tried.answer["package"].replace("_", "-")
        return Finding("interpreter", "ok", f"{package} {_version(package)} with numpy {tried.answer['numpy']}")
    if texts.cure(tried.text) == texts.NUMPY_1:
        package = next((name for name in ("tflite-runtime", "ai-edge-litert") if _version(name)), "the interpreter")
        says = f"{package} {_version(package)} was built for numpy 1 and finds numpy {_version('numpy')}"
        return Finding("interpreter", "fail", says, texts.NUMPY_1)
    return _broken("interpreter", tried, "pip install --force-reinstall 'pocketsight[board]'")


def opencv(attempt: Attempt = attempt, installed: Callable[[str], str] | None = None) -> Finding:
    """Is it there, once?"""
    tried = attempt(child.OPENCV)
    if not tried.answer:
        return _broken("OpenCV", tried, "pip install --force-reinstall 'pocketsight[opencv]', or on a Pi take apt's")
    owners = [name for name in OPENCVS if (installed or _version)(name)]
    says = f"{tried.answer['version']}, {owners[0] if owners else tried.answer['file']}"
    if len(owners) > 1:
        cure = f"they overwrite each other: pip uninstall {' '.join(owners)}, then pip install {owners[-1]}"
        return Finding("OpenCV", "warn", f"{tried.answer['version']}, but {' and '.join(owners)} both own cv2", cure)
    return Finding("OpenCV", "ok", says)


def picamera2(
    pi: bool, root: Path = ROOT, attempt: Attempt = attempt, here: Callable[[], bool] | None = None
) -> Finding | None:
    """Can a Pi camera be used from this environment? Of no matter elsewhere than on a Raspberry Pi."""
    system = any(root.glob("usr/lib/python3*/dist-packages/picamera2"))
    if not (here() if here else find_spec("picamera2")):
        if system:
            cure = f"python3 -m venv --system-site-packages {sys.prefix} (it keeps what is installed)"
            return Finding("picamera2", "warn", "only the system's Python has it, this environment does not", cure)
        cure = "for a camera on the ribbon: sudo apt install python3-picamera2"
        return Finding("picamera2", "warn", "not installed; USB cameras work without it", cure) if pi else None
    tried = attempt(child.PICAMERA2)
    if tried.answer:
        return Finding("picamera2", "ok", f"visible, {Path(tried.answer['file']).parent}")
    return _broken("picamera2", tried, "sudo apt install --reinstall python3-picamera2", "warn")


def models(detector: Path, sentiment: Path, attempt: Attempt = attempt) -> Finding:
    """Are both whole and for their task, and do they give an answer?"""
    try:
        specs = [unpack(path)[1] for path in (detector, sentiment)]
    except ModelError as error:
        return Finding("models", "fail", str(error), "copy it again, or take those that come with pocketsight")
    for spec, task, path in zip(specs, TASKS, (detector, sentiment), strict=True):
        if spec.task != task:
            return Finding("models", "fail", f"{path} is a {spec.task} model", f"give --{task} a {task} model")
    tried = attempt(child.MODELS, [detector, sentiment])
    if tried.answer and "error" in tried.answer:
        message = tried.answer["error"]
        return Finding("models", "fail", message, texts.cure(message) or "pocketsight info MODEL tells more")
    if not tried.answer:
        return _broken("models", tried, "pocketsight info MODEL tells more")
    found = specs[0].labels[0], " or ".join(specs[1].answers)
    return Finding("models", "ok", f"both are whole and run: {found[0]} at {_size(specs[0].size)}, {found[1]}")


def extras(here: Callable[[str], bool] = lambda name: find_spec(name) is not None) -> Finding:
    """Which parts that one may leave out are there."""
    there = {extra: all(here(module) for module in modules) for extra, modules in EXTRAS.items()}
    says = ", ".join(f"{extra} {'installed' if yes else 'not installed'}" for extra, yes in there.items())
    lacking = [extra for extra, yes in there.items() if not yes]
    cure = f"when you want it: pip install 'pocketsight[{','.join(lacking)}]'" if lacking else ""
    return Finding("extras", "ok", says, cure)


def _broken(name: str, tried: Tried, otherwise: str, level: Level = "fail") -> Finding:
    return Finding(name, level, _clip(_telling(tried)), texts.cure(tried.text) or otherwise)


def _telling(tried: Tried) -> str:
    """The first error of a traceback: what comes after is mostly its echo."""
    lines = [line.strip() for line in tried.text.splitlines()]
    known: Iterable[str] = (line for line in lines if texts.cure(line) and not line.startswith(("File", "raise")))
    return next(iter(known), tried.last)


def _clip(line: str) -> str:
    return line if len(line) <= 160 else f"{line[:157]}..."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
