"""The packages of a board, fetched here for its platform, and pocketsight itself without training."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from pocketsight.device.errors import BoardError
from pocketsight.device.system.atomic_files import atomic_path
from pocketsight.device.system.paths import cache_dir
from pocketsight.export.deploy.facts import BoardFacts, wheel_platforms
from pocketsight.export.deploy.ssh import last_line

CHECKOUT = Path(os.path.realpath(__file__)).parents[2]
EXTRAS = "board", "mqtt", "web"
NOT_ON_A_BOARD = "pocketsight/train/", "pocketsight/export/"
OPENCV = "opencv-python-headless>=4.6,<6"


def build_wheel(folder: Path) -> Path:
    """A wheel of the checkout that this code is in. Raises BoardError outside of a checkout, or if it fails."""
    if not (CHECKOUT / "pyproject.toml").exists():
        raise BoardError("this copy of pocketsight is no checkout; give the wheel to deploy with --wheel FILE.whl")
    words = ["wheel", "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT)]
    if find_spec("hatchling") and find_spec("hatch_vcs"):  # else pip fetches them
        words.append("--no-build-isolation")
    run_pip(words, "the wheel cannot be built", {"POCKETSIGHT_WHEEL": "board"})
    return next(folder.glob("*.whl"))


def read_wheel(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel that a board needs. Raises BoardError if it is no wheel of pocketsight."""
    try:
        with zipfile.ZipFile(wheel) as pack:
            files = {name: pack.read(name) for name in sorted(pack.namelist()) if not name.endswith("/")}
    except (OSError, zipfile.BadZipFile) as error:
        raise BoardError(f"{wheel} cannot be read: {error}; give a wheel file of pocketsight") from error
    if "pocketsight/device/cli/main.py" not in files:
        raise BoardError(f"{wheel} is not a wheel of pocketsight")
    return {
        name: data
        for name, data in files.items()
        if not name.startswith(NOT_ON_A_BOARD)
        and not name.endswith((".weights.h5", "dist-info/entry_points.txt", "dist-info/RECORD"))
    }


def wheel_version(files: dict[str, bytes]) -> str:
    """The version in the metadata of a wheel."""
    metadata = next((data for name, data in files.items() if name.endswith(".dist-info/METADATA")), b"")
    lines = metadata.decode(errors="replace").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("Version:")), "0")


def fetch_packages(facts: BoardFacts, wheel: Path) -> Path:
    """A folder with the packages that a board lacks, as they are imported there; fetched once.

    The versions are those of the lock file for this board, or else the newest that the wheel allows. numpy stays the
    one that Debian built OpenCV and picamera2 for. Raises BoardError when pip cannot get them.
    """
    lock = CHECKOUT / "scripts/requirements" / f"board-{facts.architecture}-py{facts.python.replace('.', '')}.txt"
    has_all = bool(facts.numpy and facts.cv2)
    if lock.exists():
        wanted = ["--no-deps", "--requirement", str(lock)]
        content = lock.read_text()
    elif facts.architecture == "armv7l":
        raise BoardError(f"there is no lock file for 32-bit boards with Python {facts.python}")
    else:
        wanted, content = [f"{wheel}[{','.join(EXTRAS)}]"], sha256(wheel.read_bytes()).hexdigest()
    key = sha256("\n".join([content, facts.numpy, str(has_all), *wheel_platforms(facts)]).encode()).hexdigest()[:16]
    folder = cache_dir() / "boards" / f"{facts.architecture}-py{facts.python}-{key}"
    if folder.exists():
        return folder
    with atomic_path(folder) as part:
        shutil.rmtree(part, ignore_errors=True)
        _install(part, facts, wanted)
        if not has_all:
            _install(part, facts, [OPENCV])
        for path in part.glob("numpy*" if has_all else "bin"):
            shutil.rmtree(path)
        shutil.rmtree(part / "bin", ignore_errors=True)
        for path in part.glob("pocketsight*"):  # it comes from the wheel
            shutil.rmtree(path)
    return folder


def _install(folder: Path, facts: BoardFacts, wanted: Sequence[str]) -> None:
    platforms = [word for tag in wheel_platforms(facts) for word in ("--platform", tag)]
    words = ["install", "--no-compile", "--only-binary=:all:", "--implementation", "cp", "--upgrade"]
    words += ["--python-version", facts.python]
    numpy = folder.with_name(f"{folder.name}-numpy.txt")
    numpy.write_text(f"numpy=={facts.numpy}\n" if facts.numpy and facts.cv2 else "")
    try:
        run_pip(
            [*words, *platforms, "--constraint", str(numpy), "--target", str(folder), *wanted],
            f"the packages for {facts.architecture} with Python {facts.python} cannot be fetched",
        )
    finally:
        numpy.unlink()


def run_pip(words: Sequence[str], problem: str, variables: dict[str, str] | None = None) -> None:
    """Run pip of this Python. Raises BoardError with the problem and pip's reason."""
    if not find_spec("pip"):
        raise BoardError(f"{problem}: there is no pip in this environment; add it with: python -m ensurepip")
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | (variables or {})
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise BoardError(f"{problem}: {last_line((errors or [done.stderr])[0]) or 'pip gave no reason'}")
