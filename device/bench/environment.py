"""What the numbers were measured on, and with."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.inference.interpreter import Model, import_runtime
from pocketsight.device.inference.model_info import count_operators
from pocketsight.device.inference.model_loader import active_delegate, active_interpreter
from pocketsight.device.system.paths import ROOT
from pocketsight.device.system.sensors import read_kernel_file

BUSY_LOAD_PER_CORE = 0.75  # load a core; our own runs before count in it, on one core
REPORT_VERSION = 1  # of the reports' form; bench/README.md describes it


def report_header(kind: str) -> dict[str, Any]:
    """The head of every report. "load": how many processes wanted to run in the last minute, as the system tells."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "v": REPORT_VERSION,
        "kind": kind,
        "time": now,
        "machine": describe_environment(),
        "load": round(os.getloadavg()[0], 2),
    }


def is_busy(report: Mapping[str, Any]) -> bool:
    """Whether the machine had other work when a report was begun."""
    return bool(report["load"] > BUSY_LOAD_PER_CORE * report["machine"]["cores"])


def describe_environment(root: Path = ROOT) -> dict[str, Any]:
    """Board, system and libraries; "" is what the machine does not tell."""
    return {
        "board": read_kernel_file(root / "proc/device-tree/model")
        or _read_value(root / "proc/cpuinfo", "model name", ":"),
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "os": _read_value(root / "etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "interpreter": import_runtime()[1],
        "governor": read_kernel_file(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "pocketsight": version("pocketsight"),
    }


def max_cpu_mhz(root: Path = ROOT) -> float | None:
    """MHz of the fastest core now; None where nobody tells."""
    told = [read_kernel_file(path) for path in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")]
    if speeds := [int(kilohertz) / 1000 for kilohertz in told if kilohertz.isdecimal()]:
        return max(speeds)
    lines = read_kernel_file(root / "proc/cpuinfo").splitlines()
    speeds = [float(line.split(":", 1)[1]) for line in lines if line.startswith("cpu MHz")]
    return max(speeds, default=None)


def resident_memory_mb() -> float:
    """Resident memory now, in MB."""
    pages = read_kernel_file(Path("/proc/self/statm")).split()
    return round(int(pages[1]) * resource.getpagesize() / 2**20, 1) if pages else 0.0


def peak_memory_mb() -> float:
    """The most resident memory that this process ever had, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def source_sha256(source: str) -> str | None:
    """Sum of a picture or a video, so that its place does not matter; None of a camera or a folder."""
    if not Path(source).is_file():
        return None
    with open(source, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def model_properties(path: Path, loaded: Model) -> dict[str, Any]:
    """Of a model: what it is, how it runs here, and what export measured of its accuracy."""
    spec, model = loaded.spec, active_interpreter(loaded)
    partition_count = count_operators(model).get("delegate", 0)
    delegate = "edgetpu" if active_delegate(loaded) == "edgetpu" else "XNNPACK" if partition_count else "none"
    parity = {key: spec.parity[key] for key in ("metric", "trained", "exported", "loss") if key in spec.parity}
    return {
        "file": str(path),
        "task": spec.task,
        "arch": spec.architecture,
        "precision": spec.precision,
        "sha256": spec.sha256,
        "bytes": path.stat().st_size,
        "threads": model.threads,
        "delegate": delegate,
        "partitions": partition_count,
        "accuracy": parity,
    }


def _read_value(path: Path, key: str, separator: str) -> str:
    """The value of the first line of a file that begins with `key`."""
    lines = (line.partition(separator) for line in read_kernel_file(path).splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), "")
