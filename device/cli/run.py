"""`pocketsight run`, and the options that `pocketsight config show` shows."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Any

import click

from pocketsight.device.cli.config_file import config_option
from pocketsight.device.cli.options import ByteSizeParam, FiniteFloatRange, PathParam, model_options
from pocketsight.device.errors import SettingsError

FILE_PATH = PathParam()
RUN_OPTIONS = (
    click.option(
        "--camera",
        default="auto",
        show_default=True,
        metavar="SOURCE",
        help="pi, a camera number, an http or rtsp address, a video file, a picture, a folder, or synthetic.",
    ),
    click.option("--fps", type=FiniteFloatRange(0, min_open=True), help="Frames a second at most.  [default: all]"),
    click.option(
        "--detect-interval",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="The detector looks at one frame in so many; between, faces are moved on.",
    ),
    click.option(
        "--idle-fps",
        type=FiniteFloatRange(0),
        default=2.0,
        show_default=True,
        help="Frames a second while nothing moves; 0: never rest.",
    ),
    click.option(
        "--zone",
        "zones",
        multiple=True,
        metavar="'X,Y X,Y …'",
        help="Only faces within count: points in shares of the frame, as '0,0.5 1,1' for its lower half.",
    ),
    click.option(
        "--max-temperature",
        type=FiniteFloatRange(30, 100),
        metavar="DEGREES",
        help="Slow down before the board gets hotter than so many degrees Celsius.",
    ),
    click.option("--max-frames", type=click.IntRange(1), help="Stop after so many."),
    click.option(
        "--log",
        multiple=True,
        default=["-"],
        show_default=True,
        metavar="TARGET",
        help="FILE.jsonl, FILE.db, FILE.csv, mqtt://HOST/TOPIC or - for standard output; any number of them.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(["frames", "events"]),
        help="Every frame, or what happens.  [default: frames of files, events of cameras]",
    ),
    click.option(
        "--log-max-bytes", type=ByteSizeParam(), help="Begin a new file after so much.  [default: 10MB of a camera]"
    ),
    click.option(
        "--log-rotate-days",
        type=FiniteFloatRange(0, min_open=True),
        metavar="DAYS",
        help="Begin a new file after so long.  [default: 1 of a camera]",
    ),
    click.option(
        "--log-max-total",
        type=ByteSizeParam(),
        help="Delete the oldest of a log above so much.  [default: 200MB of a camera]",
    ),
    click.option("--save-video", type=FILE_PATH, metavar="FILE.mp4", help="Write an annotated video."),
    click.option("--show", is_flag=True, help="Open a window."),
    click.option("--preview", metavar="HOST:PORT", help="Serve a page with what is seen, as 127.0.0.1:8080."),
    click.option(
        "--token-file", type=FILE_PATH, help="The token of the page; needed beyond this machine, made if missing."
    ),
    click.option("--blur", is_flag=True, help="Make faces unrecognisable in every picture that leaves this program."),
    click.option("--snapshots", type=FILE_PATH, metavar="FOLDER", help="Keep a picture of each face that appears."),
    click.option(
        "--snapshots-retain-days",
        type=FiniteFloatRange(0, min_open=True),
        default=7.0,
        show_default=True,
        help="Delete older snapshots.",
    ),
    click.option(
        "--snapshots-max-bytes",
        type=ByteSizeParam(),
        default="500MB",
        show_default=True,
        help="Delete the oldest snapshots above so much.",
    ),
    click.option("--mqtt-password-file", type=FILE_PATH, help="The broker's password, in a file."),
    click.option(
        "--mqtt-ca-file", type=FILE_PATH, help="The authority that signed the broker's certificate, if it is your own."
    ),
    click.option(
        "--mqtt-discovery-prefix",
        default="homeassistant",
        show_default=True,
        metavar="PREFIX",
        help="Where Home Assistant listens for new devices; '' for nowhere.",
    ),
    click.option(
        "--mqtt-queue-size",
        type=ByteSizeParam(),
        default="64MB",
        show_default=True,
        help="What events may take on the disk while the broker is away; then the oldest go.",
    ),
    click.option(
        "--verify/--no-verify",
        default=True,
        show_default=True,
        help="Refuse a model that computes something else here than where it was exported.",
    ),
    click.option(
        "--watchdog",
        type=FiniteFloatRange(0),
        default=20.0,
        show_default=True,
        help="Seconds after which a run that is stuck ends itself; 0: never.",
    ),
)


def run_options(command: Any) -> Any:
    """All options of a run."""
    command = model_options(command)
    for option in reversed(RUN_OPTIONS):
        command = option(command)
    return config_option(command)


def config_from_options(options: dict[str, Any]) -> Any:
    """The plan that the options describe. Raises SettingsError."""
    from pocketsight.device.runtime.config import RunConfig
    from pocketsight.device.tracking.zones import parse_zone

    values = dict(options)
    if 0 < values["watchdog"] < 2:
        raise SettingsError(f"watchdog = {values['watchdog']} must be 0 or from 2: the loop itself waits that long")
    for name in ("camera", "log"):
        if not all([values[name]] if name == "camera" else values[name]):
            raise SettingsError(f"{name} = '' is nothing; see: pocketsight run --help")
    values["log"] = tuple(os.path.expanduser(target) for target in values["log"])
    zones = tuple(parse_zone(text) for text in values.pop("zones"))
    return RunConfig(**values, zones=zones)


class RunCommand(click.Command):
    """Keeps its words, so that SIGHUP can read the settings once more."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["words"] = list(args)
        return super().parse_args(ctx, args)


@click.command(cls=RunCommand)
@run_options
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Watch a camera and log what is seen."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL and not (sys.stdin and sys.stdin.isatty()):
        signal.signal(signal.SIGHUP, lambda *_: None)  # settings are about to be read: no need to die of it
    from pocketsight.device.runtime import loop as module

    words, config = ctx.meta["words"], config_from_options(options)

    def read_config() -> Any:
        try:
            return config_from_options(ctx.command.make_context("run", list(words)).params)
        except click.ClickException as error:
            raise SettingsError(error.format_message()) from error

    summary = module.run(config, read_config)
    names = ", ".join(f"{count} {label}" for label, count in sorted(summary.label_counts.items())) or "none"
    with suppress(OSError):  # nobody may read it any more
        click.echo(
            f"{summary.frames} frames in {summary.duration:.1f} s, {summary.dropped} dropped; faces in them: {names}",
            err=True,
        )
        for written in (*(target for target in config.log if target != "-" and "://" not in target), config.save):
            if written:
                click.echo(f"wrote {written}", err=True)
