"""`pocketsight run`, and the options that `pocketsight config show` shows."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from pocketsight.device.cli.config_file import config_option
from pocketsight.device.cli.options import StrictCommand, config_options
from pocketsight.device.errors import SettingsError
from pocketsight.device.runtime.config import OPTIONS, RunConfig

if TYPE_CHECKING:
    from pocketsight.device.runtime.loop import RunSummary


def run_options(command: Any) -> Any:
    """Add an option for every field of RunConfig, and --config."""
    return config_option(config_options(OPTIONS)(command))


class RunCommand(StrictCommand):
    """Keeps its arguments, so that SIGHUP can read the settings again."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["arguments"] = list(args)
        return super().parse_args(ctx, args)


@click.command(cls=RunCommand)
@run_options
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Watch a camera, detect and classify faces or other objects, and log the results."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL and not (sys.stdin and sys.stdin.isatty()):
        # A reload that comes before the loop is ready must not end the process: the settings are read below anyway.
        signal.signal(signal.SIGHUP, lambda *_: None)
    from pocketsight.device.runtime import loop

    config = RunConfig(**options)
    summary = loop.run(config, lambda: read_config(ctx.command, ctx.meta["arguments"]))
    _print_summary(config, summary)


def read_config(command: click.Command, arguments: list[str]) -> RunConfig:
    """The settings of a command line and its settings file. Raises SettingsError."""
    try:
        return RunConfig(**command.make_context("run", list(arguments)).params)
    except click.ClickException as error:
        raise SettingsError(error.format_message()) from error


def _print_summary(config: RunConfig, summary: RunSummary) -> None:
    labels = ", ".join(f"{count} {label}" for label, count in sorted(summary.label_counts.items())) or "none"
    found = "faces" if summary.objects in ((), ("face",)) else "found"
    files = [*(target for target in config.log if target != "-" and "://" not in target), config.save_video]
    with suppress(OSError):  # standard error may be closed
        click.echo(
            f"{summary.frames} frames in {summary.duration:.1f} s, {summary.dropped} dropped; {found}: {labels}",
            err=True,
        )
        for path in files:
            if path:
                click.echo(f"wrote {path}", err=True)
