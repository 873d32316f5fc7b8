"""`pocketsight info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pocketsight.device.cli.options import THREAD_COUNT

if TYPE_CHECKING:
    from pocketsight.device.bench.roofline import Roofline


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--macs", is_flag=True, help="Also count multiply-adds and bytes, and compare the time with its lower bound."
)
@click.option("--threads", type=THREAD_COUNT, metavar="N", help="Threads for --macs.  [default: the fastest, measured]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(model: Path, macs: bool, threads: int | None, as_json: bool) -> None:
    """Show the manifest, tensors and operators of a model file, and the interpreter that runs it.

    A .tflite of another program has no manifest; the rest is shown.
    """
    from pocketsight.device.bench.roofline import roofline
    from pocketsight.device.inference.model_info import describe_model

    facts = describe_model(model)
    costs = roofline(model, threads) if macs else None
    if as_json:
        click.echo(json.dumps(facts | ({"costs": costs} if costs else {}), indent=2))
        return
    click.echo(_info_text(facts) + (f"\n\n{_costs_text(costs)}" if costs else ""))


def _info_text(facts: dict[str, Any]) -> str:
    manifest = facts["manifest"]
    if manifest is None:
        return _foreign_text(facts)
    rows = {"runs on": facts["interpreter"]}
    rows |= {name: _tensor_text(tensor) for name, tensor in {"input": facts["input"], **facts["outputs"]}.items()}
    rows["operators"] = _operators_text(facts)
    fields = {name: value for name, value in manifest.items() if value not in ("", {}, (), [])}
    if fields["temperature"] == 1:
        del fields["temperature"]
    title = f"{facts['file']}: {manifest['task']} {manifest['architecture']}, {manifest['precision']}"
    width = max(map(len, [*rows, *fields]))
    lines = [[f"{name:{width}}  {value}" for name, value in table.items()] for table in (rows, fields)]
    return "\n".join([f"{title}, {facts['bytes']:,} bytes", *lines[0], "", *lines[1]])


def _foreign_text(facts: dict[str, Any]) -> str:
    """A file without a manifest: what it is, and no word about what its outputs mean."""
    rows = [("runs on", facts["interpreter"])]
    for kind in "inputs", "outputs":
        rows += [(kind[:-1], f"{_tensor_text(tensor)}  {name}") for name, tensor in facts[kind].items()]
    rows.append(("operators", _operators_text(facts)))
    if facts["associated_files"]:
        rows.append(("contains", ", ".join(facts["associated_files"])))
    lines = [f"{facts['file']}: no manifest, made by another program, {facts['bytes']:,} bytes"]
    lines += [f"{name:9}  {value}" for name, value in rows]
    problem = facts["problem"] or "to run it, add a manifest: pocketsight export adopt FILE --task classifier|detector"
    return "\n".join([*lines, "", problem])


def _tensor_text(tensor: dict[str, Any]) -> str:
    quantization = f"  scale {tensor['scale']:.6g}, zero {tensor['zero']}" if tensor["scale"] else ""
    return f"{tensor['dtype']} {'x'.join(map(str, tensor['shape']))}{quantization}"


def _operators_text(facts: dict[str, Any]) -> str:
    return ", ".join(f"{n} {name}" for name, n in facts["operators"].items())


def _costs_text(costs: Roofline) -> str:
    lines = [f"{'':>4} {'operator':24}{'output':>16}{'MACs':>14}{'weights':>12}{'activations':>13} bytes"]
    for step in costs["operators"]:
        shape = "x".join(map(str, step["shape"][1:]))
        lines += [
            f"{step['index']:4} {step['op']:24}{shape:>16}{step['macs']:14,}{step['weight_bytes']:12,}"
            f"{step['activation_bytes']:13,}"
        ]
    totals, peak = costs["totals"], costs["peak"]
    total_bytes = f"{totals['weight_bytes']:12,}{totals['activation_bytes']:13,}"
    lines += [f"{'':4} {'total':40}{totals['macs']:14,}{total_bytes}", ""]
    if costs["uncounted"]:
        lines += [f"not counted: the multiply-adds of {', '.join(costs['uncounted'])}"]
    return "\n".join(
        [
            *lines,
            f"peak         {peak['macs_per_second'] / 1e9:.1f} billion multiply-adds per second with "
            f"{peak['threads']} thread(s), measured with {peak['workload']}",
            f"roofline     {costs['roofline_ms']:.3f} ms at that rate; the model takes {costs['median_ms']:.3f} ms, "
            f"{costs['times_roofline']:.1f} times as long",
        ]
    )
