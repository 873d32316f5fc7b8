"""scripts/venv.sh: one installation, the versions of the lock file, and a new one after an interrupted one."""

import os
import platform
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT

PYTHON = """#!/bin/sh
# A Python that only notes how it is called.
case "$*" in
  "-m venv "*)
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    echo "PATH=$PWD/$3/bin:\\$PATH" >"$3/bin/activate"
    echo "venv $3" >>calls ;;
  "-m pip --version") ;;
  "-m pip install "*)
    echo "$*" >>calls
    [ ! -e interrupt ] || kill -9 $PPID ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What venv.sh reads of a checkout, and a stand-in for Python."""
    shutil.copytree(ROOT / "scripts" / "requirements", tmp_path / "scripts" / "requirements")
    for name in ("pyproject.toml", "scripts/venv.sh"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def calls(checkout: Path, *words: str, gpu: str = "no") -> list[str]:
    """What one call of venv.sh makes Python do. `gpu`: the value of POCKETSIGHT_GPU."""
    (checkout / "calls").write_text("")
    command = f"set -euo pipefail; . scripts/venv.sh {' '.join(words)}"
    environment = os.environ | {
        "PYTHON": str(checkout / "python"),
        "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}",
        "POCKETSIGHT_GPU": gpu,
    }
    subprocess.run(["bash", "-c", command], cwd=checkout, env=environment, capture_output=True, timeout=60)
    return (checkout / "calls").read_text().splitlines()


def test_the_second_call_installs_nothing(checkout: Path) -> None:
    made, installed = calls(checkout, "dev")
    assert made == "venv .venv" and installed.endswith("--editable .[dev]")
    lock = f"--constraint scripts/requirements/dev-{platform.machine()}.txt"
    assert (lock in installed) == (platform.machine() == "x86_64")
    assert calls(checkout, "dev") == []


def test_a_change_of_pyproject_or_of_the_lock_installs_again(checkout: Path) -> None:
    calls(checkout, "dev")
    for name in ("pyproject.toml", f"scripts/requirements/dev-{platform.machine()}.txt"):
        with (checkout / name).open("a") as file:
            file.write("# changed\n")
        assert len(calls(checkout, "dev")) == 1
        assert calls(checkout, "dev") == []


def test_an_interrupted_installation_is_repeated(checkout: Path) -> None:
    calls(checkout, "dev")
    (checkout / "interrupt").touch()
    assert len(calls(checkout, "demo")) == 1
    (checkout / "interrupt").unlink()
    assert len(calls(checkout, "dev")) == 1  # its packages may be half replaced
    assert len(calls(checkout, "demo")) == 1  # was never complete
    assert calls(checkout, "demo") == calls(checkout, "dev") == []


def test_newest_ignores_the_lock_and_has_a_folder_of_its_own(checkout: Path) -> None:
    made, installed = calls(checkout, "dev", "newest")
    assert made == "venv .venv-newest" and "--constraint" not in installed and "--upgrade-strategy eager" in installed
    assert len(calls(checkout, "dev", "newest")) == 1  # there may be newer ones now
    assert not (checkout / ".venv").exists()


def test_an_nvidia_driver_brings_the_libraries_of_cuda(checkout: Path) -> None:
    program = checkout / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA GeForce RTX 3060'\n")
    program.chmod(0o755)
    _, installed = calls(checkout, "demo", gpu="auto")
    assert installed.endswith("--editable .[demo,gpu]")
    assert calls(checkout, "demo", gpu="auto") == []
    assert calls(checkout, "demo", gpu="no")[0].endswith("--editable .[demo]")  # a way to say no
    assert calls(checkout, "demo", gpu="auto")[0].endswith("--editable .[demo,gpu]")


@pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="this machine has an NVIDIA driver")
def test_without_a_driver_only_a_yes_brings_them(checkout: Path) -> None:
    program = checkout / "bin" / "nvidia-smi"  # installed, but there is no card
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    assert calls(checkout, "demo", gpu="auto")[-1].endswith("--editable .[demo]")
    assert calls(checkout, "demo", gpu="yes")[-1].endswith("--editable .[demo,gpu]")
    assert calls(checkout, "demo", gpu="maybe") == []


BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "kit-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        metadata = "Metadata-Version: 2.1\\nName: kit\\nVersion: 1\\n"
        metadata += "Provides-Extra: dev\\nRequires-Dist: slow; extra == 'dev'\\n"
        wheel.writestr("kit-1.dist-info/METADATA", metadata)
        wheel.writestr("kit-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("kit-1.dist-info/RECORD", "kit-1.dist-info/RECORD,,\\n")
    return name
"""
FILE_COUNT = 1000


def write_slow_wheel(folder: Path) -> None:
    """A package of many files, whose metadata come first."""
    names = [f"slow/m{n}.py" for n in range(FILE_COUNT)]
    with zipfile.ZipFile(folder / "slow-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("slow-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: slow\nVersion: 1\n")
        wheel.writestr("slow-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        for name in names:
            wheel.writestr(name, "")
        wheel.writestr("slow-1.dist-info/RECORD", "".join(f"{name},,\n" for name in names))


def test_a_package_that_pip_had_half_installed_when_it_was_killed_is_mended(tmp_path: Path) -> None:
    """With the real pip, which takes such a package for a complete one."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "venv.sh", tmp_path / "scripts")
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    write_slow_wheel(tmp_path)
    command = ["bash", "-c", "set -euo pipefail; . scripts/venv.sh dev"]
    variables = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_COMPILE": "no", "POCKETSIGHT_GPU": "no"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | variables
    with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True) as process:
        while process.poll() is None and not list(tmp_path.glob(".venv/lib/python3*/site-packages/slow/m9.py")):
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
    (site,) = tmp_path.glob(".venv/lib/python3*/site-packages")
    assert (site / "slow-1.dist-info" / "METADATA").exists() and len(list((site / "slow").glob("*.py"))) < FILE_COUNT
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "installing again: slow-1\n" in done.stdout, done.stdout + done.stderr
    assert len(list((site / "slow").glob("*.py"))) == FILE_COUNT
