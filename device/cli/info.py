"""`pocketsight info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pocketsight.device.cli.options import THREAD_COUNT


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--macs", is_flag=True, help="Also what each operator has to do, and how far from the least time it is.")
@click.option("--threads", type=THREAD_COUNT, help="Of --macs.  [default: the fastest]")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def info(model: Path, macs: bool, threads: int | None, as_json: bool) -> None:
    """Show what a model file holds and what would run it."""
    from pocketsight.device.bench.roofline import roofline
    from pocketsight.device.inference.model_info import describe_model

    found = describe_model(model)
    if macs:
        found["costs"] = roofline(model, threads)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(_info_text(found) + (f"\n\n{_op_costs_text(found['costs'])}" if macs else ""))


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
    shown_fields = {name: value for name, value in manifest.items() if value not in ("", {}, (), [])}
    if shown_fields["temperature"] == 1:
        del shown_fields["temperature"]
    lines += [f"{name:12} {value}" for name, value in shown_fields.items()]
    return "\n".join(lines)


def _op_costs_text(found: dict[str, Any]) -> str:
    lines = [f"{'':>4} {'operator':24}{'output':>16}{'MACs':>14}{'weights':>12}{'activations':>13} bytes"]
    for step in found["operators"]:
        shape = "x".join(map(str, step["shape"][1:]))
        lines += [
            f"{step['index']:4} {step['op']:24}{shape:>16}{step['macs']:14,}{step['weights']:12,}"
            f"{step['activations']:13,}"
        ]
    total, rate = found["total"], found["peak"]
    lines += [f"{'':4} {'in all':40}{total['macs']:14,}{total['weights']:12,}{total['activations']:13,}", ""]
    if found["uncounted"]:
        lines += [f"not counted: the multiply-adds of {', '.join(found['uncounted'])}"]
    lines += [
        f"peak         {rate['macs_a_second'] / 1e9:.1f} billion multiply-adds a second, {rate['threads']} thread(s), "
        f"measured with {rate['net']}",
        f"floor        {found['floor_ms']:.3f} ms at that rate; the model takes {found['ms']:.3f} ms, "
        f"{found['times_floor']:.1f} times as long",
    ]
    return "\n".join(lines)
