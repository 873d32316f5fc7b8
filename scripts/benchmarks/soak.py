"""A run that goes on for long, watched: memory, files, threads and the time of a frame. Says what grows, if anything.

python scripts/benchmarks/soak.py --frames 200000 --out soak        # about ten minutes on a PC; soak/soak.json has the numbers
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

SAMPLE_INTERVAL = 500  # frames between two looks at the process


@click.command()
@click.option("--frames", default=200_000, show_default=True, type=click.IntRange(2000))
@click.option("--out", type=click.Path(path_type=Path), default=Path("soak"), show_default=True)
@click.option("--preview", help="Serve the page meanwhile, as 127.0.0.1:8080; look at it, or do not.")
def soak(frames: int, out: Path, preview: str | None) -> None:
    """Run on drawn faces as fast as they come, with both kinds of log, and watch the process."""
    out.mkdir(parents=True, exist_ok=True)
    plan = RunConfig(
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
    times, looks = np.full(frames + 1, np.nan), []  # written now, so that it does not grow later
    with open_run(plan) as run:
        count, before = 0, time.perf_counter()
        while run.step(_no_heartbeat):
            if run.summary.frames == count:
                continue
            count = run.summary.frames
            now = time.perf_counter()
            times[count], before = now - before, now
            if count % SAMPLE_INTERVAL == 0:
                looks.append({"frame": count, **process_usage()})
                before = time.perf_counter()
        run.finish()
    result = summarize(1000 * times[1 : count + 1], looks) | {"machine": describe_environment()}
    (out / "soak.json").write_text(json.dumps({**result, "looks": looks}, indent=1) + "\n")
    click.echo(json.dumps(result, indent=1))


def process_usage() -> dict[str, Any]:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "mb": round(pages * resource.getpagesize() / 2**20, 2),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


def summarize(ms: Any, looks: list[dict[str, Any]]) -> dict[str, Any]:
    """Slopes are fitted to the second half: before it, caches fill."""
    half = looks[len(looks) // 2 :]
    frame, mb = (np.array([look[name] for look in half], float) for name in ("frame", "mb"))
    p50, p99 = np.percentile(ms, (50, 99))
    return {
        "frames": len(ms),
        "mb_a_100_000_frames": round(float(np.polyfit(frame, mb, 1)[0]) * 1e5, 3),
        "mb": [looks[0]["mb"], looks[-1]["mb"]],
        "files": [looks[0]["files"], looks[-1]["files"]],
        "threads": [looks[0]["threads"], looks[-1]["threads"]],
        "p50": round(float(p50), 3),
        "p99": round(float(p99), 3),
        "p99_of_p50": round(float(p99 / p50), 2),
    }


def _no_heartbeat(doing: str) -> None:
    """Nobody watches the watcher."""


if __name__ == "__main__":
    soak()
