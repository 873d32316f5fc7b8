"""`pocketsight verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pocketsight.device.commands.options import MODELS, DelegateName
from pocketsight.device.errors import ModelError, PocketsightError


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option(
    "--delegate",
    type=DelegateName(),
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
    paths = models or tuple(sorted(MODELS.glob("*.tflite")))
    found = [_verified(path, threads, delegate) for path in paths]
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(map(_line, found)))
    if failed := [row for row in found if row["verdict"] == "FAILED"]:
        cure = "see why above" if not all(map(_asked, failed)) else f"try another version of {_maker(delegate)}"
        raise ModelError(f"not to be trusted here: {', '.join(row['file'] for row in failed)}; {cure}")


def _verified(path: Path, threads: int, delegate: str) -> dict[str, Any]:
    from pocketsight.device.edgetpu import load_on
    from pocketsight.device.golden import checked
    from pocketsight.device.interpreter import runtime

    try:
        return {**checked(path, load_on(delegate, path, threads=threads)), "interpreter": runtime()[1]}
    except PocketsightError as error:
        return {"file": str(path), "verdict": "FAILED", "where": str(error), "inputs": 0, "interpreter": runtime()[1]}


def _asked(row: dict[str, Any]) -> bool:
    """Whether it ran at all."""
    return "values" in row


def _maker(delegate: str) -> str:
    return "libedgetpu, or another Coral" if delegate.startswith("edgetpu") else "the interpreter"


def _line(row: dict[str, Any]) -> str:
    said = f"{row['file']}: {row['verdict']}"
    if _asked(row) and row["inputs"]:
        said += f", {row['values']:,} values of {row['inputs']} inputs on {row['interpreter']}"
        if row["unequal"]:
            said += f"; {row['unequal']:,} differ, by {row['steps']:.3g} steps at most, in {row['where']}, "
            said += f"and {row['mean']:.2g} on average"
    elif row["where"]:
        said += f": {row['where']}"
    else:
        said += "; export it again to have some"
    return said
