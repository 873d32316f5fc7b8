"""`pocketsight verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pocketsight.device.cli.options import THREAD_COUNT
from pocketsight.device.cli.param_types import DelegateParam
from pocketsight.device.errors import ModelError, PocketsightError
from pocketsight.device.inference.shipped import MODELS_DIR


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option("--threads", type=THREAD_COUNT, default=1, metavar="N", help="Threads for each model.  [default: 1]")
@click.option(
    "--delegate",
    type=DelegateParam(),
    default="cpu",
    metavar="cpu|edgetpu[:usb|:pci][:N]",
    help="Hardware that runs the models; edgetpu takes NAME_edgetpu.tflite of the same folder.  [default: cpu]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(models: tuple[Path, ...], threads: int, delegate: str, as_json: bool) -> None:
    """Check that MODELS give the same results here as at export.

    A model file contains test inputs and their outputs ("golden inputs"). Without MODELS, check the shipped models.
    """
    paths = models or tuple(sorted(MODELS_DIR.glob("*.tflite")))
    rows = [_verify_model(path, threads, delegate) for path in paths]
    click.echo(json.dumps(rows, indent=2) if as_json else "\n".join(map(_result_line, rows)))
    if failed := [row for row in rows if row["verdict"] == "FAILED"]:
        was_run = all(map(_was_run, failed))
        fix = f"try another version of {_runtime_name(delegate)}" if was_run else "the reason is above"
        raise ModelError(f"not reliable on this machine: {', '.join(row['file'] for row in failed)}; {fix}")


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
    """Whether the model ran at all."""
    return "num_values" in row


def _runtime_name(delegate: str) -> str:
    return "libedgetpu, or another Coral" if delegate.startswith("edgetpu") else "the interpreter"


def _result_line(row: dict[str, Any]) -> str:
    line = f"{row['file']}: {row['verdict']}"
    if _was_run(row) and row["inputs"]:
        line += f", {row['num_values']:,} values of {row['inputs']} inputs on {row['interpreter']}"
        if row["num_different"]:
            line += (
                f"; {row['num_different']:,} differ, by at most {row['max_steps']:.3g} steps (in {row['location']}) "
            )
            line += f"and {row['mean_steps']:.2g} on average"
    elif row["location"]:
        line += f": {row['location']}"
    else:
        line += "; export it again to add golden inputs"
    return line
