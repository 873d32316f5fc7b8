"""Checks of a workstation that `pocketsight doctor` adds to those of the board: its GPU, and what training uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from pocketsight.device.doctor.probe import ProbeResult, run_probe
from pocketsight.device.doctor.report import Finding
from pocketsight.device.system.install_hint import install_command
from pocketsight.device.system.paths import ROOT
from pocketsight.train import nvidia

# In a child process: the import of a backend takes seconds, and a broken driver can crash it.
TRAINING_PROBE = """
import json
from pocketsight.train.gpu import list_gpus
from pocketsight.train.keras_backend import keras
from pocketsight.train.nvidia import find_backend_problem, find_cards
backend, gpus = keras.backend.backend(), [gpu.name for gpu in list_gpus()]
problem = None if gpus else find_backend_problem(backend, find_cards())
print(json.dumps({"backend": backend, "gpus": gpus, "problem": problem}))
"""


def check_gpu(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> Finding | None:
    """Is there an NVIDIA card, and does its driver offer it to this process?"""
    cards = nvidia.find_cards(root)
    if not cards:
        return None
    if problem := nvidia.find_driver_problem(cards, root, environment):
        return Finding("GPU", "warn", f"{cards}, but {problem.reason}", problem.fix)
    return Finding("GPU", "ok", f"{cards}{', through Windows (WSL2)' if cards.is_wsl else ''}")


def check_training(
    root: Path = ROOT,
    environment: Mapping[str, str] = os.environ,
    run_probe: Callable[..., ProbeResult] = run_probe,
    is_installed: Callable[[str], bool] = lambda name: find_spec(name) is not None,
) -> Finding | None:
    """Does training use the card? Only where the extra `train` is installed."""
    if not is_installed("keras"):
        return None
    cards = nvidia.find_cards(root)
    if not cards:
        return Finding("training", "ok", "on the CPU: there is no NVIDIA card")
    if nvidia.find_driver_problem(cards, root, environment):
        return Finding("training", "warn", "on the CPU, because of the GPU", "see the line about the GPU")
    result = run_probe(TRAINING_PROBE, timeout=2 * nvidia.PROBE_TIMEOUT)
    if not result.output:
        return Finding("training", "fail", f"Keras does not start: {result.last_line}", install_command("train"))
    backend, gpus, problem = (result.output[name] for name in ("backend", "gpus", "problem"))
    if gpus:
        return Finding("training", "ok", f"{backend} uses {', '.join(gpus)}")
    reason, fix = problem
    return Finding("training", "warn", f"{backend} uses the CPU, not the card: {reason}", fix)
