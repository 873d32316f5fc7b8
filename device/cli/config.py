"""`pocketsight config`: the settings of a run."""

from __future__ import annotations

import json
from typing import Any

import click

from pocketsight.device.cli.run import config_from_options, run_options


@click.group()
def config() -> None:
    """The settings of a run."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@run_options
@click.pass_context
def show(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Show every setting that `pocketsight run` would use with the same options, and where it comes from."""
    from pocketsight.device.cli.config_file import effective_settings

    config_from_options(options)
    rows = [row for row in effective_settings(ctx) if row["setting"] != "json"]
    for row in rows:
        row["value"] = _redacted(row["setting"], row["value"])
    if as_json:
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    wide = max(len(row["setting"]) for row in rows)
    for row in rows:
        click.echo(f"{row['setting']:{wide}}  {_format_value(row['setting'], row['value']):32}  {row['from']}")


def _redacted(setting: str, value: Any) -> Any:
    """As it may stand in a file, without secrets."""
    from pocketsight.device.system.urls import redact_url

    if setting == "size":
        return f"{value[1]}x{value[0]}"
    if setting == "camera":
        return redact_url(value)
    return [redact_url(target) for target in value] if setting == "log" else value


def _format_value(setting: str, value: Any) -> str:
    if value is None or value == () or value == []:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and setting.endswith(("-size", "-total", "-room")):
        return f"{value / 1e6:g}MB"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
