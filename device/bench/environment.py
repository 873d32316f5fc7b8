"""The machine and software that a report was measured on."""

from __future__ import annotations

import os
import platform
import resource
from datetime import UTC, datetime
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.bench.reports import SCHEMA_VERSION, Environment, Header, ModelFacts
from pocketsight.device.inference.interpreter import Model, import_runtime
from pocketsight.device.inference.model_info import count_operators
from pocketsight.device.inference.model_loader import active_delegate, active_interpreter
from pocketsight.device.system.paths import ROOT
from pocketsight.device.system.sensors import read_kernel_file

BUSY_LOAD_PER_CORE = 0.75  # load average per core; earlier benchmarks count in it with one core


def report_header(kind: str) -> Header:
    """The head of every report. `load_average_1m` is that of the system when the report is made."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "time": now,
        "environment": describe_environment(),
        "load_average_1m": round(os.getloadavg()[0], 2),
    }


def is_busy(load_average: float, cores: int) -> bool:
    """Whether the machine had other work when a report was begun."""
    return load_average > BUSY_LOAD_PER_CORE * cores


def describe_environment(root: Path = ROOT) -> Environment:
    """Board, system and libraries; "" where the machine does not report a value."""
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
    """Current clock of the fastest core in MHz; None where the machine does not report it."""
    texts = [read_kernel_file(path) for path in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")]
    if speeds := [int(kilohertz) / 1000 for kilohertz in texts if kilohertz.isdecimal()]:
        return max(speeds)
    lines = read_kernel_file(root / "proc/cpuinfo").splitlines()
    speeds = [float(line.split(":", 1)[1]) for line in lines if line.startswith("cpu MHz")]
    return max(speeds, default=None)


def resident_memory_mb() -> float:
    """Resident memory of this process now, in MB."""
    pages = read_kernel_file(Path("/proc/self/statm")).split()
    return round(int(pages[1]) * resource.getpagesize() / 2**20, 1) if pages else 0.0


def peak_memory_mb() -> float:
    """The largest resident memory of this process so far, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def source_sha256(source: str) -> str | None:
    """Checksum of an image or a video, which identifies it in any folder; None for a camera or a folder."""
    if not Path(source).is_file():
        return None
    with open(source, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def model_properties(path: Path, loaded: Model) -> ModelFacts:
    """The facts of a model file, how it runs here, and its accuracy at export."""
    spec, model = loaded.spec, active_interpreter(loaded)
    partition_count = count_operators(model).get("delegate", 0)
    delegate = "edgetpu" if active_delegate(loaded) == "edgetpu" else "XNNPACK" if partition_count else "none"
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
        "accuracy": {key: spec.parity[key] for key in ("metric", "trained", "exported", "loss") if key in spec.parity},
    }


def _read_value(path: Path, key: str, separator: str) -> str:
    """The value of the first line of a file that starts with `key`."""
    lines = (line.partition(separator) for line in read_kernel_file(path).splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), "")
