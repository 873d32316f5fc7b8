"""`pocketsight bench`, `pocketsight bench compare`, and the commands of the entry point group of bench."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pocketsight.device.cli.options import CAMERA_FIELDS, MODEL_FIELDS, StrictCommand, click_option, config_options
from pocketsight.device.cli.param_types import DurationParam, ThreadCountsParam
from pocketsight.device.errors import SettingsError
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE
from pocketsight.device.runtime.config import RunConfig

if TYPE_CHECKING:
    from pocketsight.device.bench.reports import AnyReport

DEFAULT_FRAMES = 500
ENTRY_POINT_GROUP = "pocketsight.commands.bench"


class BenchCommand(StrictCommand):
    """A command that measures, unless its first argument names a subcommand.

    click.Group cannot have both MODELS and subcommands.
    """

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        if args and args[0] in _subcommand_names():
            return _subcommand(args[0]).make_context(f"{info_name} {args[0]}", args[1:], *rest, **extra)
        return super().make_context(info_name, args, *rest, **extra)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        with formatter.section("Commands"):
            commands = {name: _subcommand(name) for name in _subcommand_names()}
            formatter.write_dl([(name, each.get_short_help_str(formatter.width)) for name, each in commands.items()])


def _subcommand_names() -> list[str]:
    return sorted(["compare", *entry_points(group=ENTRY_POINT_GROUP).names])


def _subcommand(name: str) -> click.Command:
    if name == "compare":
        return compare
    (entry,) = entry_points(group=ENTRY_POINT_GROUP, name=name)
    command: click.Command = entry.load()
    return command


@click.command(cls=BenchCommand)
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--camera",
    default=str(EXAMPLE_IMAGE),
    metavar="SOURCE",
    help="Source, as for run.  [default: a 320x240 image with one face, repeated]",
)
@click.option("--frames", type=click.IntRange(1), metavar="N", help=f"Frames to measure.  [default: {DEFAULT_FRAMES}]")
@click.option("--duration", type=DurationParam(), help="Measure for this long, such as 10min, instead of --frames.")
@click.option(
    "--warmup",
    type=click.IntRange(0),
    metavar="N",
    help="Frames to leave out at the start of each session.  [default: until the times settle]",
)
@click.option("--per-op", is_flag=True, help="Also measure each operator of the models.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, the input of compare and plot.")
@config_options(name for name in (*MODEL_FIELDS, *CAMERA_FIELDS) if name not in ("threads", "resolution"))
@click_option("resolution")
@click_option("accelerator")
@click_option("threads", ThreadCountsParam(), "Threads for each model; several numbers, such as 1,2,4, are compared.")
def bench(
    models: tuple[Path, ...],
    camera: str,
    frames: int | None,
    duration: float | None,
    warmup: int | None,
    per_op: bool,
    as_json: bool,
    detector: Path,
    classifier: Path | None,
    classify: tuple[str, ...],
    threads: tuple[int, ...] | None,
    delegate: str,
    **camera_options: Any,
) -> None:
    """Measure the latency of each stage of a run on this machine.

    With MODELS, measure only these, interleaved, each on its own stage. They may be .tflite files of other programs.
    """
    _check_options(models, frames, duration, per_op, threads or ())
    config = RunConfig(
        camera=camera,
        detector=detector,
        classifier=classifier,
        classify=classify,
        threads=threads[0] if threads else None,
        delegate=delegate,
        max_frames=frames or DEFAULT_FRAMES,
        idle_fps=0,
        **camera_options,
    )
    _print_report(_measure(config, models, threads or (), duration, warmup, per_op), as_json)


def _measure(
    config: RunConfig,
    models: tuple[Path, ...],
    threads: tuple[int, ...],
    duration: float | None,
    warmup: int | None,
    per_op: bool,
) -> AnyReport:
    from pocketsight.device.bench.benchmark import run_benchmark
    from pocketsight.device.bench.model_benchmark import benchmark_models
    from pocketsight.device.bench.op_profile import profile_operators
    from pocketsight.device.bench.reports import MeasuredReport
    from pocketsight.device.bench.thread_sweep import sweep_threads

    report: MeasuredReport
    if len(threads) > 1:
        return sweep_threads(config, threads, warmup)
    if models:
        frames = config.max_frames or DEFAULT_FRAMES
        report = benchmark_models(
            models, config.camera, config.resolution, config.threads, frames, warmup, config.delegate
        )
    else:
        report = run_benchmark(config, warmup, duration)
    if per_op:
        report["operators"] = [profile_operators(Path(model["file"]), model["threads"]) for model in report["models"]]
    return report


def _check_options(
    models: tuple[Path, ...], frames: int | None, duration: float | None, per_op: bool, threads: tuple[int, ...]
) -> None:
    """Raise SettingsError where options contradict each other."""
    several = len(threads) > 1
    for is_invalid, message in (
        (duration and frames, "give either --frames or --duration, not both"),
        (
            duration and (models or several),
            "--duration measures one run: leave MODELS out and give one number of --threads",
        ),
        (
            several and models,
            "several numbers of --threads are compared in a run: leave MODELS out, or give one number",
        ),
        (several and per_op, "--per-op needs one number of --threads"),
    ):
        if is_invalid:
            raise SettingsError(message)


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Compare reports of different boards, sources or numbers of threads.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(old: Path, new: Path, force: bool, as_json: bool) -> None:
    """Compare NEW with OLD, two reports of `pocketsight bench --json`.

    Differences within run-to-run noise count as "no difference".
    """
    from pocketsight.device.bench.compare import compare as compare_reports
    from pocketsight.device.bench.compare import read_report

    _print_report(compare_reports(read_report(old), read_report(new), force), as_json)


def _print_report(report: AnyReport, as_json: bool) -> None:
    from pocketsight.device.bench.formatting import format_json, format_report

    click.echo(format_json(report) if as_json else format_report(report))
