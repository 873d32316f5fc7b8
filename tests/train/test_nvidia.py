"""Which NVIDIA card a machine has, and why a backend does not use it: on planted machines."""

import subprocess
import sys
from pathlib import Path

import pytest

from pocketsight.train import nvidia
from pocketsight.train.nvidia import Cards, explain_tensorflow_messages, find_cards, find_driver_problem
from tests.device.system.test_sensors import plant

CARDS = Cards(("NVIDIA GeForce RTX 3060",), "550.54.14")
VERSIONS = {
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024": "550.54.14",
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  Release Build  (x)": "570.86.10",
}


def workstation(root: Path, version: str = next(iter(VERSIONS))) -> Path:
    plant(root, **{"proc/driver/nvidia/version": f"{version}\nGCC version:  gcc version 12.3.0", "dev/nvidia0": ""})
    return plant(root, **{"proc/driver/nvidia/gpus/0000:01:00.0/information": f"Model: \t\t {CARDS.names[0]}\nIRQ: 90"})


def nvidia_smi(path: Path, code: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)


@pytest.fixture(autouse=True)
def no_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may have a card."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.parametrize("line", VERSIONS)
def test_a_card_with_its_driver(tmp_path: Path, line: str) -> None:
    workstation(tmp_path, line)
    assert find_cards(tmp_path) == Cards(CARDS.names, VERSIONS[line])
    assert str(CARDS) == "NVIDIA GeForce RTX 3060 (driver 550.54.14)"
    assert find_driver_problem(CARDS, tmp_path, {}) is None


def test_no_card_and_the_card_of_another_maker(tmp_path: Path) -> None:
    assert find_cards(tmp_path) is None
    plant(tmp_path, **{"sys/bus/pci/devices/0000:01:00.0/vendor": "0x1002"})
    plant(tmp_path, **{"sys/bus/pci/devices/0000:01:00.0/class": "0x030000"})
    assert find_cards(tmp_path) is None


def test_a_card_without_driver_but_not_its_sound_device(tmp_path: Path) -> None:
    for number, kind in (("0", "0x030000"), ("1", "0x040300")):
        folder = f"sys/bus/pci/devices/0000:01:00.{number}"
        plant(tmp_path, **{f"{folder}/vendor": "0x10de", f"{folder}/class": kind})
    cards = find_cards(tmp_path)
    assert cards == Cards(("NVIDIA card",), "")
    problem = find_driver_problem(cards, tmp_path, {})
    assert problem and "apt install nvidia-driver" in problem.fix
    plant(tmp_path, **{"etc/os-release": "NAME=Ubuntu\nID=ubuntu"})
    ubuntu = find_driver_problem(cards, tmp_path, {})
    assert ubuntu and "ubuntu-drivers" in ubuntu.fix


def test_wsl_asks_the_nvidia_smi_of_windows(tmp_path: Path) -> None:
    program = tmp_path / nvidia.WSL_NVIDIA_SMI
    nvidia_smi(program, 'case "$1" in *memory*) echo "12288 MiB";; *) echo "NVIDIA GeForce RTX 4070, 566.36";; esac')
    assert find_cards(tmp_path) == Cards(("NVIDIA GeForce RTX 4070",), "566.36", is_wsl=True)
    assert nvidia.read_memory_megabytes(tmp_path) == 12288
    nvidia_smi(program, "echo 'Failed to initialize NVML'; exit 9")
    assert find_cards(tmp_path) is None
    assert nvidia.read_memory_megabytes(tmp_path) == 0


def test_a_container_without_files_of_the_driver_asks_nvidia_smi(tmp_path: Path) -> None:
    nvidia_smi(tmp_path / "bin" / "nvidia-smi", "echo 'NVIDIA A100-SXM4-40GB, 550.54.14'")
    assert find_cards(tmp_path / "root") == Cards(("NVIDIA A100-SXM4-40GB",), "550.54.14")


def test_a_container_without_the_card_and_a_variable_that_hides_it(tmp_path: Path) -> None:
    workstation(tmp_path)
    for value in ("", "-1"):
        hidden = find_driver_problem(CARDS, tmp_path, {"CUDA_VISIBLE_DEVICES": value})
        assert hidden and hidden.fix == "unset CUDA_VISIBLE_DEVICES"
    assert find_driver_problem(CARDS, tmp_path, {"CUDA_VISIBLE_DEVICES": "0"}) is None
    plant(tmp_path, **{".dockerenv": ""})
    assert find_driver_problem(CARDS, tmp_path, {}) is None
    (tmp_path / "dev/nvidia0").unlink()
    problem = find_driver_problem(CARDS, tmp_path, {})
    assert problem and "--gpus all" in problem.fix


@pytest.mark.parametrize(
    ("said", "reason", "fix"),
    [
        (
            "W gpu_device.cc:2342] Cannot dlopen some GPU libraries. Please make",
            "cannot load a library",
            "LD_LIBRARY_PATH",
        ),
        (
            "E x.cc:51] failed call to cuInit: INTERNAL: CUDA_ERROR_UNKNOWN: x",
            "CUDA_ERROR_UNKNOWN",
            "reboot",
        ),
        (
            "E x.cc:1] failed call to cuInit: Y\nkernel version 1 does not match DSO version 2",
            "updated",
            "reboot",
        ),
        (
            "I x.cc:31] Could not find cuda drivers on your machine, GPU will not be used.",
            "libcuda",
            "libcuda1",
        ),
        ("W a.cc:5] Something new about the GPU", "Something new about the GPU", "nvidia-smi"),
        ("", "does not give a reason", "nvidia-smi"),
    ],
)
def test_messages_of_tensorflow_become_a_reason_and_a_fix(said: str, reason: str, fix: str) -> None:
    problem = explain_tensorflow_messages(said, CARDS)
    assert reason in problem.reason and fix in problem.fix
    assert "\n" not in problem.reason + problem.fix


def test_wsl_needs_another_path_to_libcuda() -> None:
    problem = explain_tensorflow_messages("Could not find cuda drivers", CARDS._replace(is_wsl=True))
    assert "/usr/lib/wsl/lib" in problem.fix


def test_missing_packages_of_an_extra_are_named() -> None:
    """`pip install tensorflow` brings no CUDA; the extra that has it is known from TensorFlow's own metadata."""
    code = (
        "from pocketsight.train import nvidia; nvidia._is_installed = lambda name: 'cublas' in name;"
        "print(*nvidia.missing_packages('tensorflow', 'and-cuda'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "nvidia-cudnn-cu12" in done.stdout.split() and "cublas" not in done.stdout
