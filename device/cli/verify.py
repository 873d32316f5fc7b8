"""`pocketsight verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pocketsight.device.cli.options import DelegateParam
from pocketsight.device.errors import ModelError, PocketsightError
from pocketsight.device.inference.shipped import MODELS_DIR


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option(
    "--delegate",
    type=DelegateParam(),
    default="cpu",
    show_default=True,
    metavar="cpu|edgetpu[:usb|:pci][:N]",
    help="What runs them; edgetpu: the file that was compiled for it, beside.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(models: tuple[Path, ...], threads: int, delegate: str, as_json: bool) -> None:
    """Prove that this machine computes what the workstation did when it exported MODELS, bit by bit.

    Without MODELS, those that come with pocketsight.
    """
    paths = models or tuple(sorted(MODELS_DIR.glob("*.tflite")))
    found = [_verify_model(path, threads, delegate) for path in paths]
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(map(_result_line, found)))
    if failed := [row for row in found if row["verdict"] == "FAILED"]:
        cure = (
            "see why above" if not all(map(_was_run, failed)) else f"try another version of {_runtime_name(delegate)}"
        )
        raise ModelError(f"not to be trusted here: {', '.join(row['file'] for row in failed)}; {cure}")


def _verify_model(path: Path, threads: int, delegate: str) -> dict[str, Any]:
    from pocketsight.device.inference.golden import golden_report
    from pocketsight.device.inference.interpreter import import_runtime
    from pocketsight.device.inference.model_loader import load_model

    try:
        return {
            **golden_report(path, load_model(path, threads=threads, delegate=delegate)),
            "interpreter": import_runtime()[1],
        }
    except PocketsightError as error:
        return {
            "file": str(path),
            "verdict": "FAILED",
            "location": str(error),
            "inputs": 0,
            "interpreter": import_runtime()[1],
        }


def _was_run(row: dict[str, Any]) -> bool:
    """Whether it ran at all."""
    return "num_values" in row


def _runtime_name(delegate: str) -> str:
    return "libedgetpu, or another Coral" if delegate.startswith("edgetpu") else "the interpreter"


def _result_line(row: dict[str, Any]) -> str:
    line = f"{row['file']}: {row['verdict']}"
    if _was_run(row) and row["inputs"]:
        line += f", {row['num_values']:,} values of {row['inputs']} inputs on {row['interpreter']}"
        if row["num_different"]:
            line += (
                f"; {row['num_different']:,} differ, by {row['max_steps']:.3g} steps at most, in {row['location']}, "
            )
            line += f"and {row['mean_steps']:.2g} on average"
    elif row["location"]:
        line += f": {row['location']}"
    else:
        line += "; export it again to have some"
    return line
