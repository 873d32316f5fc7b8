"""The command. Commands of the other folders arrive through entry points, so this file never imports them."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.device.errors import EdgekitError

if TYPE_CHECKING:
    from edgekit.device.interpreter import Loaded

MODELS = Path(str(files("edgekit.models")))
EXAMPLE = MODELS / "example.jpg"

PACKAGES = {  # how to get a missing module
    "cv2": "pip install 'edgekit[opencv]', or on a Pi: sudo apt install python3-opencv",
    **dict.fromkeys(
        ("PIL albumentations imagehash keras matplotlib pycocotools rich sklearn tensorflow yaml").split(),
        "pip install 'edgekit[train]'",
    ),
}


class Commands(click.Group):
    """Own commands plus those that pyproject.toml lists; our errors become one line and exit status 1."""

    entries = "edgekit.commands"  # the group of entry points

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *entry_points(group=self.entries).names])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in entry_points(group=self.entries, name=cmd_name):
            command: click.Command = entry.load()
            return command
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgekitError as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            if error.name not in PACKAGES:
                raise
            line = f"{error.name} is not installed; get it with: {PACKAGES[error.name]}"
            raise click.ClickException(line) from error


class DataCommands(Commands):
    """Of `edgekit data`."""

    entries = "edgekit.commands.data"


class Size(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # not a generic before click 8.4
    """WIDTHxHEIGHT on the command line, (height, width) within."""

    name = "WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = value.partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{value!r} is not like 640x480", param, ctx)
        return int(height), int(width)


@click.group(cls=Commands)
@click.version_option(package_name="edgekit")
def main() -> None:
    """Train, export and run a face detector and a happy/sad classifier."""


def _model_options(command: Any) -> Any:
    """Which models, and on how many threads: the same for every command that runs the pipeline."""
    for option in (
        click.option("--threads", type=click.IntRange(1, 64), help="For each model.  [default: cores - 1, at most 4]"),
        click.option("--size", type=Size(), default="640x480", show_default=True, help="Asked of a live camera."),
        click.option("--sentiment", type=click.Path(path_type=Path), default=MODELS / "sentiment.tflite",
                     help="The classifier.  [default: the one that comes with edgekit]"),
        click.option("--detector", type=click.Path(path_type=Path), default=MODELS / "detector.tflite",
                     help="The detector.  [default: the one that comes with edgekit]"),
    ):  # fmt: skip
        command = option(command)
    return command


def _load(detector: Path, sentiment: Path, threads: int | None) -> tuple[Loaded, Loaded]:
    from edgekit.device.interpreter import load, threads_for_this_machine

    count = threads or threads_for_this_machine()
    return load(detector, "detector", count), load(sentiment, "sentiment", count)


@main.command()
@click.option("--camera", default="auto", show_default=True, metavar="SOURCE",
              help="pi, a camera number, a picture, a folder, a video file, or an http or rtsp address.")  # fmt: skip
@click.option(
    "--log", default="-", show_default=True, metavar="FILE", help="One JSON line a frame; - is standard output."
)
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE.mp4", help="Write an annotated video.")
@click.option("--show", is_flag=True, help="Open a window.")
@click.option("--frames", type=click.IntRange(1), help="Stop after so many.")
@_model_options
def run(
    camera: str, log: str, save: Path | None, show: bool, frames: int | None, detector: Path, sentiment: Path,
    size: tuple[int, int], threads: int | None,
) -> None:  # fmt: skip
    """Watch a camera and log one JSON line a frame."""
    from edgekit.device.run import watch

    seen = watch(camera, size, *_load(detector, sentiment, threads), log, save, show, frames)
    names = ", ".join(f"{count} {label}" for label, count in sorted(seen.named.items())) or "none named"
    click.echo(
        f"{seen.frames} frames in {seen.seconds:.1f} s, {seen.dropped} dropped; {seen.faces} faces: {names}", err=True
    )
    for written in (log if log != "-" else None, save):
        if written:
            click.echo(f"wrote {written}", err=True)


@main.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option("--camera", default=str(EXAMPLE), metavar="SOURCE",
              help="As for run.  [default: a picture with one face, 320x240, again and again]")  # fmt: skip
@click.option("--frames", default=300, show_default=True, type=click.IntRange(1))
@click.option("--warmup", default=30, show_default=True, type=click.IntRange(0), help="Frames before counting starts.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_model_options
def bench(
    models: tuple[Path, ...], camera: str, frames: int, warmup: int, as_json: bool, detector: Path, sentiment: Path,
    size: tuple[int, int], threads: int | None,
) -> None:  # fmt: skip
    """Measure latency on this machine, stage by stage, through the same pipeline as run.

    With MODELS only those, each alone, in turn in one run.
    """
    from edgekit.device.bench import measure, side_by_side
    from edgekit.device.interpreter import threads_for_this_machine

    if models:
        count = threads or threads_for_this_machine()
        result = side_by_side(models, camera, size, count, frames, warmup)
        click.echo(json.dumps(result, indent=2) if as_json else _models_table(result))
        return
    result = measure(camera, size, *_load(detector, sentiment, threads), frames, warmup)
    click.echo(json.dumps(result, indent=2) if as_json else _bench_table(result))


def _models_table(result: dict[str, Any]) -> str:
    machine = result["machine"]
    lines = [f"{machine['board']}, {result['threads']} thread(s), {machine['interpreter']}", ""]
    lines += [f"{'ms':28}{'bytes':>12}" + "".join(f"{p:>9}" for p in ("p50", "p90", "p95", "p99", "ratio"))]
    for row in result["models"]:
        numbers = "".join(f"{row[p]:9.3f}" for p in ("p50", "p90", "p95", "p99", "ratio"))
        lines += [f"{row['task'] + ' ' + row['arch']:28}{row['bytes']:12,}{numbers}   {row['file']}"]
    return "\n".join(lines)


def _bench_table(result: dict[str, Any]) -> str:
    machine, stages = result["machine"], result["stages"]
    lines = [f"{machine['board']}, {machine['cores']} cores, {machine['interpreter']}, Python {machine['python']}"]
    lines += [f"{result['frames']} frames of {result['source']}, {result['faces_a_frame']} faces a frame", ""]
    lines += [f"{'ms':10}" + "".join(f"{p:>9}" for p in ("p50", "p90", "p95", "p99"))]
    lines += [
        f"{name:10}" + "".join(f"{row[p]:9.3f}" for p in ("p50", "p90", "p95", "p99")) for name, row in stages.items()
    ]
    memory = result["memory_mb"]
    lines += ["", f"{result['frames_a_second']} frames a second, {result['cpu_ms_a_frame']} ms of CPU a frame, "
              f"{memory['peak']} MB at most"]  # fmt: skip
    return "\n".join(lines)


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def info(model: Path, as_json: bool) -> None:
    """Show what a model file holds and what would run it."""
    from edgekit.device.info import describe

    found = describe(model)
    click.echo(json.dumps(found, indent=2) if as_json else _info_text(found))


def _info_text(found: dict[str, Any]) -> str:
    manifest = found["manifest"]
    lines = [
        f"{found['file']}: {manifest['task']} {manifest['arch']}, {manifest['precision']}, {found['bytes']:,} bytes"
    ]
    lines += [f"runs on      {found['interpreter']}"]
    for name, tensor in {"input": found["input"], **found["outputs"]}.items():
        quantum = f"  scale {tensor['scale']:.6g}, zero {tensor['zero']}" if tensor["scale"] else ""
        lines += [f"{name:12} {tensor['dtype']} {'x'.join(map(str, tensor['shape']))}{quantum}"]
    lines += [f"operators    {', '.join(f'{n} {name}' for name, n in found['operators'].items())}", ""]
    lines += [f"{name:12} {value}" for name, value in manifest.items() if value not in ("", {}, (), [])]
    return "\n".join(lines)


@main.group(cls=DataCommands)
def data() -> None:
    """Collect pictures, label, check and split them."""


@data.command()
@click.option("--camera", default="auto", show_default=True, metavar="SOURCE", help="As for run.")
@click.option("--count", default=30, show_default=True, type=click.IntRange(1), help="Pictures to take.")
@click.option("--every", default=0.5, show_default=True, type=click.FloatRange(0), help="Seconds between two.")
@click.option("--countdown", default=3, show_default=True, type=click.IntRange(0), help="Seconds before the first.")
@click.option("--show/--no-show", default=None, help="A window.  [default: where there is a screen]")
@click.option("--size", type=Size(), default="640x480", show_default=True, help="Asked of a live camera.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The folder of the pictures.")
def capture(
    camera: str, count: int, every: float, countdown: int, show: bool | None, size: tuple[int, int], out: Path
) -> None:
    """Take pictures with a camera. Space pauses, u takes the last one back, q ends."""
    from edgekit.device import capture as module
    from edgekit.device.screen import has_display

    window = has_display() if show is None else show
    click.echo(module.last_line(module.capture(camera, size, out, count, every, countdown, window)), err=True)


@main.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Where it all goes."
)
@click.option("--small", is_flag=True, help="Only the shipped models on a photograph; no training.")
def demo(out: Path, small: bool) -> None:
    """Take the tour: a photograph, then train, export, run and bench in small."""
    from edgekit.device.demo import tour

    tour(out, small)
