"""scripts/venv.sh: one installation, the versions of the lock file, and a new one after an interrupted one."""

import os
import platform
import shutil
import subprocess
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
