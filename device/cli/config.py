"""`pocketsight config`: the settings of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from pocketsight.device.cli.options import format_items, format_value
from pocketsight.device.cli.run import run_options
from pocketsight.device.runtime.config import RunConfig

if TYPE_CHECKING:
    from pocketsight.device.cli.config_file import Setting


@click.group()
def config() -> None:
    """Show the settings of a run."""


@config.command()
@click.option("--toml", "as_toml", is_flag=True, help="Print a settings file for --config.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@run_options
@click.pass_context
def show(ctx: click.Context, /, as_toml: bool, as_json: bool, **options: Any) -> None:
    """Show every setting that `pocketsight run` would use with the same options, and its origin.

    Passwords in addresses are replaced by ***.
    """
    from pocketsight.device.cli.config_file import effective_settings, to_toml

    RunConfig(**options)  # raises SettingsError
    settings = [_redacted(setting) for setting in effective_settings(ctx)]
    if as_toml:
        click.echo(to_toml(settings))
    elif as_json:
        click.echo(json.dumps([_row(setting) for setting in settings], indent=2))
    else:
        click.echo(_table(settings))


def _redacted(setting: Setting) -> Setting:
    """Without the passwords that an address can hold."""
    from pocketsight.device.system.urls import redact_url

    if setting.field == "camera":
        return setting._replace(value=redact_url(setting.value))
    if setting.field == "log":
        return setting._replace(value=[redact_url(target) for target in setting.value])
    return setting


def _row(setting: Setting) -> dict[str, Any]:
    """One setting of `config show --json`. Numbers and flags stay as they are; the rest is text."""
    spec, value = setting.spec, setting.value
    if spec.multiple:
        value = format_items(setting.field, value)
    elif value is not None and spec.kind not in ("bytes", "flag", "integer", "number"):
        value = format_value(setting.field, value)
    return {"setting": spec.setting, "option": spec.flag, "value": value, "origin": setting.origin}


def _table(settings: list[Setting]) -> str:
    rows = [
        (item.spec.setting, item.spec.flag, format_value(item.field, item.value) or "(not set)", item.origin)
        for item in settings
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(
        f"{name:{widths[0]}}  {flag:{widths[1]}}  {value:32}  {origin}" for name, flag, value, origin in rows
    )
