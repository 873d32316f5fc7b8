"""Planted timings, and reports made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketsight.device.bench.statistics import summarize_stages

ENVIRONMENT = {
    "board": "Raspberry Pi 5 Model B",
    "cores": 4,
    "architecture": "aarch64",
    "os": "Debian 13",
    "kernel": "6.12",
    "python": "3.13.5",
    "numpy": "2.2.4",
    "opencv": "4.10.0",
    "interpreter": "ai-edge-litert 2.3.0",
    "governor": "ondemand",
    "pocketsight": "0.1.0",
}


def noisy(seed: int, ms: float, sessions: int = 10, frames: int = 50) -> list[list[float]]:
    """Frame times as boards have them: each session at a level of its own, frames that follow each other alike, and now
    and then one that had to wait. Their median is about `ms`."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(sessions):
        level, drift, times = ms * np.exp(rng.normal(0, 0.006)), 0.0, []
        for _ in range(frames):
            drift = 0.5 * drift + rng.normal(0, 0.03)
            late = 1 + rng.exponential(1.0) if rng.random() < 0.03 else 1.0
            times.append(float(level * np.exp(drift) * late))
        found.append(times)
    return found


def model(task: str = "detector", arch: str = "net", precision: str = "int8", **more: Any) -> dict[str, Any]:
    return {
        "file": f"{arch}-{precision}.tflite",
        "task": task,
        "arch": arch,
        "precision": precision,
        "threads": 1,
        "sha256": f"{task} {arch} {precision}",
        "accuracy": {},
        **more,
    }


def run_report(stages: dict[str, list[list[float]]], **more: Any) -> Any:
    """A report "run" with these samples, as its JSON is read."""
    return {
        "schema_version": 2,
        "kind": "run",
        "environment": ENVIRONMENT,
        "load_average_1m": 0.5,
        "source": "face.jpg",
        "source_sha256": "abc",
        "models": [model(), model("classifier")],
        "stages": summarize_stages(stages),
        "telemetry": [],
        "operators": [],
        "samples_ms": stages,
        **more,
    }


def models_report(*rows: dict[str, Any], **more: Any) -> Any:
    """A report "models"; each row has its "samples_ms"."""
    return {
        "schema_version": 2,
        "kind": "models",
        "environment": ENVIRONMENT,
        "load_average_1m": 0.5,
        "source": "face.jpg",
        "source_sha256": "abc",
        "models": list(rows),
        "operators": [],
        **more,
    }
