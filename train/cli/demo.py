"""pocketsight demo"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for all results.",
)
@click.option("--quick", is_flag=True, help="Run the shipped models on a photograph only; skip training.")
def demo(out: Path, quick: bool) -> None:
    """Take a tour: run on a photograph; then train, export, evaluate, run and benchmark small models."""
    from pocketsight.train.cli.demo_tour import run_demo

    run_demo(out, quick)
