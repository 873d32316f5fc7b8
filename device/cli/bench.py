"""`pocketsight bench`, and `pocketsight bench compare`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from pocketsight.device.cli.options import DurationParam, ThreadCountsParam, model_options
from pocketsight.device.errors import SettingsError
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE

DEFAULT_FRAMES = 500


class BenchCommand(click.Command):
    """Measures, unless its first word is `compare`, which is a command of its own."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        if args[:1] == ["compare"]:
            return compare.make_context(f"{info_name} compare", args[1:], *rest, **extra)
        return super().make_context(info_name, args, *rest, **extra)


@click.command(cls=BenchCommand)
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--camera",
    default=str(EXAMPLE_IMAGE),
    metavar="SOURCE",
    help="As for run.  [default: a picture with one face, 320x240, again and again]",
)
@click.option("--frames", type=click.IntRange(1), help=f"How many are counted.  [default: {DEFAULT_FRAMES}]")
@click.option("--duration", type=DurationParam(), help="Instead of --frames: 10min, to see what heat does.")
@click.option(
    "--chart", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw the run of --duration over time."
)
@click.option(
    "--warmup",
    type=click.IntRange(0),
    help="Frames a sitting before counting starts.  [default: until frames become no faster]",
)
@click.option("--per-op", is_flag=True, help="Also what each operator of the models takes.")
@click.option("--json", "as_json", is_flag=True, help="For programs, and for compare.")
@partial(model_options, threads=ThreadCountsParam(), threads_help="For each model; several, as 1,2,4, are compared.")
def bench(
    models: tuple[Path, ...],
    camera: str,
    frames: int | None,
    duration: float | None,
    chart: Path | None,
    warmup: int | None,
    per_op: bool,
    as_json: bool,
    detector: Path,
    classifier: Path,
    resolution: tuple[int, int],
    threads: tuple[int, ...] | None,
    delegate: str,
) -> None:
    """Measure latency on this machine, stage by stage, through the same pipeline as run.

    With MODELS only those, each alone, in turn in one run.

    `pocketsight bench compare OLD.json NEW.json` says what became faster or slower.
    """
    from pocketsight.device.bench.benchmark import run_benchmark
    from pocketsight.device.bench.chart import write_chart
    from pocketsight.device.bench.formatting import chart_title, format_report
    from pocketsight.device.bench.model_benchmark import benchmark_models
    from pocketsight.device.bench.op_profile import profile_operators
    from pocketsight.device.bench.thread_sweep import sweep_threads
    from pocketsight.device.runtime.config import RunConfig

    _check_options(models, frames, duration, chart, per_op, threads)
    count = threads[0] if threads else None
    config = RunConfig(
        camera,
        resolution,
        detector,
        classifier,
        count,
        max_frames=frames or DEFAULT_FRAMES,
        idle_fps=0,
        delegate=delegate,
    )
    if models:
        result = benchmark_models(models, camera, resolution, count, frames or DEFAULT_FRAMES, warmup, delegate)
    elif threads and len(threads) > 1:
        result = sweep_threads(config, threads, warmup)
    else:
        result = run_benchmark(config, warmup, duration)
    if per_op:
        result["operators"] = [profile_operators(Path(model["file"]), model["threads"]) for model in result["models"]]
    _print_report(result, as_json, format_report)
    if chart:  # last, so that a chart that cannot be written costs no numbers
        write_chart(chart, result["over_time"], chart_title(result))


def _check_options(
    models: tuple[Path, ...],
    frames: int | None,
    duration: float | None,
    chart: Path | None,
    per_op: bool,
    threads: tuple[int, ...] | None,
) -> None:
    """Raise SettingsError where options contradict each other."""
    several = len(threads or ()) > 1
    for is_invalid, words in (
        (duration and frames, "say either --frames or --duration"),
        (duration and (models or several), "--duration measures one run: without MODELS, on one number of --threads"),
        (chart and not duration, "--chart draws a run over time: say for how long, as in --duration 10min"),
        (chart and not chart.parent.is_dir(), f"the folder of {chart} is not there; make it, or name another"),
        (several and models, "several numbers of --threads are compared in a run: leave MODELS out, or say one number"),
        (several and per_op, "--per-op goes with one number of --threads"),
    ):
        if is_invalid:
            raise SettingsError(words)


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Also of two machines, sources or numbers of threads.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def compare(old: Path, new: Path, force: bool, as_json: bool) -> None:
    """Say what is faster or slower in NEW than in OLD, both by `pocketsight bench --json`.

    What differs by less than two runs of the same thing do is not told apart.
    """
    from pocketsight.device.bench import compare as module
    from pocketsight.device.bench.formatting import format_report

    _print_report(module.compare(module.read_report(old), module.read_report(new), force), as_json, format_report)


def _print_report(result: dict[str, Any], as_json: bool, as_text: Any) -> None:
    from pocketsight.device.bench.formatting import format_json as to_json

    click.echo(to_json(result) if as_json else as_text(result))
