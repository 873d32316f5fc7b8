"""The Python environment of Sony's tools: made once under the user's cache, since no other Python can hold them.

They need Python 3.11, TensorFlow below 2.16 with Keras 2, and Java.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.system.paths import cache_dir

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
MAIN_PACKAGES = "imx500-converter", "model_compression_toolkit", "edge-mdt-tpc", "tensorflow"
TARGET_VERSION = "1.0"  # of the description of the chip in edge-mdt-tpc
PYTHON_VERSION = "3.11"
PYTHON_HINT = (
    f"Sony's tools need Python {PYTHON_VERSION} with venv: sudo apt install python{PYTHON_VERSION}-venv, or: "
    f"uv python install {PYTHON_VERSION}, with python{PYTHON_VERSION} on the PATH"
)
JAVA_HINT = "Sony's converter needs Java: sudo apt install default-jre-headless"
MARKER = "complete"  # file that is written last
PROBE_TIMEOUT = 60  # seconds


def prepare_environment() -> Path:
    """The Python of the environment, which is made if it is missing: some minutes and 2.3 GB.

    Raises DataError, with a fix, when Python 3.11, Java or the network is missing.
    """
    require_java()
    folder = environment_folder()
    with _lock(folder):
        if not (folder / MARKER).exists():
            shutil.rmtree(folder, ignore_errors=True)  # of an installation that was interrupted
            _make(folder, find_python())
    return folder / "bin" / "python"


def environment_folder() -> Path:
    """Where the environment is. Its name changes with the versions."""
    return cache_dir() / f"imx500-tools-{sha256(REQUIREMENTS.read_bytes()).hexdigest()[:8]}"


def tool_versions() -> list[str]:
    """The main tools with their versions, as pip writes them."""
    return [line for line in REQUIREMENTS.read_text().splitlines() if line.partition("==")[0] in MAIN_PACKAGES]


def is_ready() -> bool:
    """Whether the environment was made, so that an export needs no network."""
    return (environment_folder() / MARKER).exists()


def require_java() -> None:
    """Raise DataError when no Java runs here."""
    if not _runs("java", "-version"):
        raise DataError(JAVA_HINT)


def find_python() -> str:
    """A Python of the right version that can make environments. Raises DataError when there is none."""
    code = (
        f"import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != {tuple(map(int, PYTHON_VERSION.split('.')))})"
    )
    for candidate in (sys.executable, f"python{PYTHON_VERSION}"):
        if _runs(candidate, "-c", code):
            return candidate
    raise DataError(PYTHON_HINT)


def _runs(*command: str) -> bool:
    try:
        return not subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep a second export from using an environment that is half made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(folder: Path, python: str) -> None:
    try:
        subprocess.run([python, "-m", "venv", folder], check=True, capture_output=True, text=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "-r", REQUIREMENTS], check=True, capture_output=True, text=True)
        (folder / MARKER).touch()
    except subprocess.CalledProcessError as error:
        shutil.rmtree(folder, ignore_errors=True)
        errors = [line for line in str(error.stderr).splitlines() if line.startswith("ERROR")]
        reason = (errors or str(error.stderr).splitlines() or [str(error)])[-1]
        raise DataError(
            f"Sony's tools could not be installed in {folder} ({reason}); the first export needs a network and 2.3 GB"
        ) from error
