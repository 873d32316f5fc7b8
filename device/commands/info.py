"""`edgekit info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command()
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
