"""`edgekit config`: the settings of a run."""

from __future__ import annotations

import json
from typing import Any

import click

from edgekit.device.commands.run import plan_of, run_options


@click.group()
def config() -> None:
    """The settings of a run."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@run_options
@click.pass_context
def show(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Show every setting that `edgekit run` would use with the same options, and where it comes from."""
    from edgekit.device.camera.stream import without_secrets
    from edgekit.device.settings import effective

    plan_of(options)
    rows = [row for row in effective(ctx) if row["setting"] != "json"]
    for row in rows:
        if row["setting"] == "camera":
            row["value"] = without_secrets(row["value"])
    if as_json:
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    wide = max(len(row["setting"]) for row in rows)
    for row in rows:
        click.echo(f"{row['setting']:{wide}}  {_text(row['value']):32}  {row['from']}")


def _text(value: Any) -> str:
    if value is None or value == () or value == []:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
