"""A long run with samples of memory, open files, threads and frame times, to find what grows.

python scripts/benchmarks/soak.py --frames 200000 --out soak    # about ten minutes on a PC; writes soak/soak.json
"""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from pocketsight.device.bench.environment import describe_environment
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.loop import open_run

SAMPLE_INTERVAL = 500  # frames between two samples of the process


@click.command()
@click.option("--frames", default=200_000, show_default=True, type=click.IntRange(2000), help="Number of frames.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("soak"), show_default=True, help="Output folder.")
@click.option("--preview", help="Serve the page during the run, for example at 127.0.0.1:8080.")
def soak(frames: int, out: Path, preview: str | None) -> None:
    """Run on synthetic faces as fast as possible, with two logs, and sample the process."""
    out.mkdir(parents=True, exist_ok=True)
    config = RunConfig(
        "synthetic:fast",
        (240, 320),
        MODELS_DIR / "detector.tflite",
        MODELS_DIR / "sentiment.tflite",
        threads=1,
        idle_fps=0,
        max_frames=frames,
        log=(str(out / "log.jsonl"), str(out / "log.db")),
        log_level="events",
        preview=preview,
    )
    times, samples = np.full(frames + 1, np.nan), []  # allocated now, so that it does not grow later
    with open_run(config) as run:
        count, before = 0, time.perf_counter()
        while run.step(_no_heartbeat):
            if run.summary.frames == count:
                continue
            count = run.summary.frames
            now = time.perf_counter()
            times[count], before = now - before, now
            if count % SAMPLE_INTERVAL == 0:
                samples.append({"frame": count, **process_usage()})
                before = time.perf_counter()
        run.finish()
    result = summarize(1000 * times[1 : count + 1], samples) | {"environment": describe_environment()}
    (out / "soak.json").write_text(json.dumps({**result, "samples": samples}, indent=1) + "\n")
    click.echo(json.dumps(result, indent=1))


def process_usage() -> dict[str, Any]:
    """Memory, open files and threads of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "mb": round(pages * resource.getpagesize() / 2**20, 2),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


def summarize(ms: Any, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The growth and the frame times. The slope is fitted to the second half: before it, caches fill."""
    half = samples[len(samples) // 2 :]
    frame, mb = (np.array([sample[name] for sample in half], float) for name in ("frame", "mb"))
    p50, p99 = np.percentile(ms, (50, 99))
    return {
        "frames": len(ms),
        "mb_per_100k_frames": round(float(np.polyfit(frame, mb, 1)[0]) * 1e5, 3),
        "mb": [samples[0]["mb"], samples[-1]["mb"]],
        "files": [samples[0]["files"], samples[-1]["files"]],
        "threads": [samples[0]["threads"], samples[-1]["threads"]],
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "p99_to_p50": round(float(p99 / p50), 2),
    }


def _no_heartbeat(stage: str) -> None:
    """The run has no watchdog here."""


if __name__ == "__main__":
    soak()
