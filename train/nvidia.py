"""The NVIDIA cards of this machine, and why a backend of Keras does not use them. Imports no backend.

`root` is the folder of the files of the kernel; tests replace it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from pocketsight.device.doctor.probe import run_probe
from pocketsight.device.system.install_hint import install_command
from pocketsight.device.system.paths import ROOT
from pocketsight.device.system.sensors import read_kernel_file

NVIDIA_SMI_TIMEOUT = 20.0  # seconds
PROBE_TIMEOUT = 120.0
WSL_NVIDIA_SMI = "usr/lib/wsl/lib/nvidia-smi"  # comes with the driver of Windows
PCI_VENDOR, PCI_DISPLAY = "0x10de", "0x03"
REBOOT = "sudo reboot"


class Cards(NamedTuple):
    """The NVIDIA cards of a machine."""

    names: tuple[str, ...]
    driver: str  # its version; "": no driver is loaded
    is_wsl: bool = False

    def __str__(self) -> str:
        return ", ".join(self.names) + (f" (driver {self.driver})" if self.driver else "")


class Problem(NamedTuple):
    """Why a card lies idle, and the command or advice that repairs it."""

    reason: str
    fix: str


def find_cards(root: Path = ROOT) -> Cards | None:
    """The cards by the files of the driver or by nvidia-smi, and without a driver by PCI. None: no card."""
    if (root / WSL_NVIDIA_SMI).exists():
        return _ask_nvidia_smi(root / WSL_NVIDIA_SMI, is_wsl=True)
    driver = re.search(r"Module.*?\s(\d+\.[\d.]+)", read_kernel_file(root / "proc/driver/nvidia/version"))
    informations = map(read_kernel_file, sorted(root.glob("proc/driver/nvidia/gpus/*/information")))
    names = tuple(match[1].strip() for text in informations if (match := re.search(r"Model:(.*)", text)))
    if driver and names:
        return Cards(names, driver[1])
    if cards := _ask_nvidia_smi(Path("nvidia-smi")):  # containers may lack the files
        return cards
    count = sum(map(_is_nvidia_display, root.glob("sys/bus/pci/devices/*")))
    return Cards(("NVIDIA card",) * count, "") if count else None


def _ask_nvidia_smi(program: Path, is_wsl: bool = False) -> Cards | None:
    rows = [line.rpartition(",") for line in _query(program, "name,driver_version")]
    return Cards(tuple(name.strip() for name, _, _ in rows), rows[0][2].strip(), is_wsl) if rows else None


def read_memory_megabytes(root: Path = ROOT) -> int:
    """The memory of the smallest card, by nvidia-smi; 0: unknown."""
    program = root / WSL_NVIDIA_SMI if (root / WSL_NVIDIA_SMI).exists() else Path("nvidia-smi")
    sizes = [line.split()[0] for line in _query(program, "memory.total")]
    return min((int(size) for size in sizes if size.isdigit()), default=0)


def _query(program: Path, fields: str) -> list[str]:
    """One line of nvidia-smi for each card. Never raises."""
    command = [str(program), f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT)
    except (OSError, subprocess.SubprocessError):
        return []
    return [] if done.returncode else [line for line in done.stdout.splitlines() if line.strip()]


def _is_nvidia_display(device: Path) -> bool:
    return read_kernel_file(device / "vendor") == PCI_VENDOR and read_kernel_file(device / "class").startswith(
        PCI_DISPLAY
    )


def find_driver_problem(cards: Cards, root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> Problem | None:
    """What keeps every program from the cards: no driver, a container without them, or CUDA_VISIBLE_DEVICES."""
    if not cards.driver:
        is_ubuntu = "ID=ubuntu" in read_kernel_file(root / "etc/os-release")
        install = (
            "sudo ubuntu-drivers install" if is_ubuntu else "sudo apt install nvidia-driver (Debian: from non-free)"
        )
        return Problem("the driver of NVIDIA is not loaded", f"{install}, then {REBOOT}")
    in_container = any((root / name).exists() for name in (".dockerenv", "run/.containerenv"))
    if in_container and not cards.is_wsl and not any(root.glob("dev/nvidia[0-9]*")):
        return Problem("this container was started without the card", "docker run --gpus all ...")
    hidden = environment.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and (not hidden.strip() or hidden.strip().startswith("-")):
        return Problem(f"CUDA_VISIBLE_DEVICES={hidden!r} hides it", "unset CUDA_VISIBLE_DEVICES")
    return None


def find_backend_problem(backend: str, cards: Cards) -> Problem:
    """Why this backend of Keras does not use cards that the driver offers. Takes seconds: it may start the backend."""
    problem: Problem = {"tensorflow": _tensorflow_problem, "jax": _jax_problem, "torch": _torch_problem}[backend](cards)
    return problem


def _tensorflow_problem(cards: Cards) -> Problem:
    lacking = missing_packages("tensorflow", "and-cuda")
    if lacking:
        return Problem(f"libraries of CUDA are not installed ({lacking[0]}, ...)", install_command("gpu"))
    return explain_tensorflow_messages(run_probe(TENSORFLOW_PROBE, timeout=PROBE_TIMEOUT).stderr, cards)


def missing_packages(package: str, extra: str) -> list[str]:
    """The requirements of an extra of an installed package that are not installed."""
    pattern = re.compile(rf"""extra\s*==\s*["']{extra}["']""")
    lines = [line for line in distribution(package).requires or () if pattern.search(line)]
    return [name for line in lines if not _is_installed(name := re.split(r"[^\w.-]", line, maxsplit=1)[0])]


def _is_installed(package: str) -> bool:
    try:
        return bool(distribution(package))
    except PackageNotFoundError:
        return False


TENSORFLOW_PROBE = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
import tensorflow
tensorflow.config.list_physical_devices("GPU")
print("{}")
"""
# A message of TensorFlow, the reason in our words, and the fix. The first match counts.
TENSORFLOW_MESSAGES = (
    (
        r"does not match DSO version|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "the driver was updated while the old one was running",
        REBOOT,
    ),
    (
        r"insufficient driver version|driver version is insufficient|CUDA_ERROR_COMPAT_NOT_SUPPORTED",
        "the driver {driver} is too old for this TensorFlow",
        "upgrade the driver of NVIDIA to 525 or newer",
    ),
    (
        r"Could not find cuda drivers",
        "TensorFlow finds no libcuda.so.1, a part of the driver",
        "{libcuda}",
    ),
    (
        r"Cannot dlopen some GPU libraries",
        "TensorFlow cannot load a library of CUDA",
        "unset LD_LIBRARY_PATH, or {reinstall}",
    ),
    (
        r"[Ff]ailed call to cuInit: (?P<detail>[^\n]*)",
        "the driver does not start: {detail}",
        f"{REBOOT}; if nvidia-smi fails too, install the driver again",
    ),
)


def explain_tensorflow_messages(text: str, cards: Cards) -> Problem:
    """The reason and the fix by what TensorFlow writes to standard error when it looks for a GPU."""
    libcuda = "sudo apt install libcuda1"
    if cards.is_wsl:
        libcuda = "export LD_LIBRARY_PATH=/usr/lib/wsl/lib; if that does not help, run in PowerShell: wsl --update"
    facts = {
        "driver": cards.driver,
        "libcuda": libcuda,
        "reinstall": install_command("gpu", options="--force-reinstall"),
    }
    for pattern, reason, fix in TENSORFLOW_MESSAGES:
        if match := re.search(pattern, text):
            facts |= {name: value.strip() for name, value in match.groupdict().items()}
            return Problem(reason.format_map(facts), fix.format_map(facts))
    lines = [line for line in text.splitlines() if re.search("cuda|gpu", line, re.IGNORECASE)]
    said = re.sub(r"^.*?\.cc:\d+\]\s*", "", lines[-1]) if lines else "TensorFlow does not give a reason"
    return Problem(said, "compare with: nvidia-smi")


def _jax_problem(cards: Cards) -> Problem:
    if not any(_is_installed(f"jax-cuda{version}-plugin") for version in (12, 13)):
        return Problem("the CUDA plugin of JAX is not installed", install_command("jax-gpu"))
    import jax

    try:
        jax.devices("cuda")
    except RuntimeError as error:
        return Problem(f"JAX: {str(error).splitlines()[0]}", "compare with: nvidia-smi")
    return Problem("JAX was set to another device", "unset JAX_PLATFORMS")


def _torch_problem(cards: Cards) -> Problem:
    import torch

    if not torch.version.cuda:
        return Problem("this PyTorch was built without CUDA", f"pip uninstall torch; {install_command('torch')}")
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return Problem(f"PyTorch: {str(error).splitlines()[0]}", "upgrade the driver of NVIDIA, or see: nvidia-smi")
    return Problem("PyTorch does not give a reason", "compare with: nvidia-smi")
