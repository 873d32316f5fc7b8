"""`pocketsight demo`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Where it all goes."
)
@click.option("--quick", is_flag=True, help="Only the shipped models on a photograph; no training.")
def demo(out: Path, quick: bool) -> None:
    """Take the tour: a photograph, then train, export, run and bench in small."""
    from pocketsight.train.cli.demo_tour import run_demo

    run_demo(out, quick)
