"""`edgekit bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgekit.device.commands.options import EXAMPLE, model_options


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option("--camera", default=str(EXAMPLE), metavar="SOURCE",
              help="As for run.  [default: a picture with one face, 320x240, again and again]")  # fmt: skip
@click.option("--frames", default=300, show_default=True, type=click.IntRange(1))
@click.option("--warmup", default=30, show_default=True, type=click.IntRange(0), help="Frames before counting starts.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@model_options
def bench(
    models: tuple[Path, ...], camera: str, frames: int, warmup: int, as_json: bool, detector: Path, sentiment: Path,
    size: tuple[int, int], threads: int | None, delegate: str,
) -> None:  # fmt: skip
    """Measure latency on this machine, stage by stage, through the same pipeline as run.

    With MODELS only those, each alone, in turn in one run.
    """
    from edgekit.device.bench import measure, side_by_side
    from edgekit.device.plan import Plan

    if models:
        result = side_by_side(models, camera, size, threads, frames, warmup, delegate)
        click.echo(json.dumps(result, indent=2) if as_json else _models_table(result))
        return
    plan = Plan(camera, size, detector, sentiment, threads, frames=frames, idle=0, delegate=delegate)
    result = measure(plan, warmup)
    click.echo(json.dumps(result, indent=2) if as_json else _bench_table(result))


def _models_table(result: dict[str, Any]) -> str:
    machine = result["machine"]
    lines = [
        f"{machine['board']}, {result['threads'] or 'the fastest number of'} thread(s), {machine['interpreter']}",
        "",
    ]
    lines += [f"{'ms':28}{'bytes':>12}" + "".join(f"{p:>9}" for p in ("p50", "p90", "p95", "p99", "ratio"))]
    for row in result["models"]:
        numbers = "".join(f"{row[p]:9.3f}" for p in ("p50", "p90", "p95", "p99", "ratio"))
        lines += [
            f"{row['task'] + ' ' + row['arch']:28}{row['bytes']:12,}{numbers}   {row['file']} on {row['runs_on']}"
        ]
    return "\n".join(lines)


def _bench_table(result: dict[str, Any]) -> str:
    machine, stages = result["machine"], result["stages"]
    lines = [f"{machine['board']}, {machine['cores']} cores, {machine['interpreter']}, Python {machine['python']}"]
    lines += [f"{result['frames']} frames of {result['source']}, {result['faces_a_frame']} faces a frame"]
    lines += [", ".join(f"{task} on {facts['runs_on']}" for task, facts in result["models"].items()), ""]
    lines += [f"{'ms':10}" + "".join(f"{p:>9}" for p in ("p50", "p90", "p95", "p99"))]
    lines += [
        f"{name:10}" + "".join(f"{row[p]:9.3f}" for p in ("p50", "p90", "p95", "p99")) for name, row in stages.items()
    ]
    memory = result["memory_mb"]
    lines += ["", f"{result['frames_a_second']} frames a second, {result['cpu_ms_a_frame']} ms of CPU a frame, "
              f"{memory['peak']} MB at most"]  # fmt: skip
    return "\n".join(lines)
