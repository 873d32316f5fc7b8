"""The two rows that a workstation adds to the doctor."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pocketsight.device.doctor import checks
from pocketsight.device.doctor.probe import ProbeResult
from pocketsight.device.inference.shipped import CLASSIFIER, DETECTOR
from pocketsight.train.gpu_checks import check_gpu, check_training
from tests.device.system.test_sensors import plant
from tests.train.test_nvidia import CARDS, no_nvidia_smi, nvidia_smi, workstation

__all__ = ["no_nvidia_smi"]  # a fixture


def answer(**facts: object) -> object:
    return lambda code, timeout: ProbeResult({"backend": "tensorflow", "gpus": [], "problem": None} | facts, "")


def test_a_board_has_neither_row(tmp_path: Path) -> None:
    assert check_gpu(tmp_path, {}) is None
    assert check_training(tmp_path, {}, is_installed=lambda name: False) is None


def test_a_workstation_without_card(tmp_path: Path) -> None:
    finding = check_training(tmp_path, {}, is_installed=lambda name: True)
    assert finding and (finding.level, finding.message) == ("ok", "on the CPU: there is no NVIDIA card")


def test_a_card_that_works(tmp_path: Path) -> None:
    workstation(tmp_path)
    gpu = check_gpu(tmp_path, {})
    training = check_training(tmp_path, {}, answer(gpus=["NVIDIA GeForce RTX 3060"]), lambda name: True)  # type: ignore[arg-type]
    assert gpu and (gpu.level, gpu.message) == ("ok", str(CARDS))
    assert training and training.message == "tensorflow uses NVIDIA GeForce RTX 3060"


def test_a_card_that_lies_idle_has_one_command(tmp_path: Path) -> None:
    workstation(tmp_path)
    probe = answer(problem=["libraries of CUDA are not installed", "pip install -e '.[gpu]'"])
    finding = check_training(tmp_path, {}, probe, lambda name: True)  # type: ignore[arg-type]
    assert finding and (finding.level, finding.fix) == ("warn", "pip install -e '.[gpu]'")
    assert finding.message == "tensorflow uses the CPU, not the card: libraries of CUDA are not installed"


def test_a_driver_problem_is_repaired_first(tmp_path: Path) -> None:
    workstation(tmp_path)
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    gpu, training = check_gpu(tmp_path, hidden), check_training(tmp_path, hidden, is_installed=lambda name: True)
    assert gpu and gpu.level == "warn" and gpu.fix == "unset CUDA_VISIBLE_DEVICES"
    assert training and training.level == "warn" and "GPU" in training.fix


def test_keras_that_does_not_start_is_a_failure(tmp_path: Path) -> None:
    workstation(tmp_path)
    broken = ProbeResult(None, "Traceback\nImportError: libfoo.so: cannot open")
    finding = check_training(tmp_path, {}, lambda code, timeout: broken, lambda name: True)
    assert finding and finding.level == "fail" and "libfoo.so" in finding.message


def test_wsl_is_named(tmp_path: Path) -> None:
    nvidia_smi(tmp_path / "usr/lib/wsl/lib/nvidia-smi", "echo 'NVIDIA GeForce RTX 4070, 566.36'")
    plant(tmp_path, **{"dev/dxg": ""})
    finding = check_gpu(tmp_path, {})
    assert finding and finding.message == "NVIDIA GeForce RTX 4070 (driver 566.36), through Windows (WSL2)"


def test_the_doctor_takes_checks_from_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [EntryPoint("training", "pocketsight.train.gpu_checks:check_training", checks.ENTRY_POINT_GROUP)]
    monkeypatch.setattr(checks, "entry_points", lambda group: found if group == "pocketsight.checks" else [])
    named = dict(checks.make_checks(DETECTOR, CLASSIFIER, DETECTOR, tmp_path, 8080))
    monkeypatch.setattr("pocketsight.train.nvidia.find_cards", lambda root: None)
    finding = named["training"]()
    assert finding and finding.message.startswith("on the CPU")
