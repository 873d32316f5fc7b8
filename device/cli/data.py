"""`pocketsight data`: the group. Most of its commands are the workstation's and come through entry points."""

from __future__ import annotations

import click

from pocketsight.device.cli.main import DataCommandGroup


@click.group(cls=DataCommandGroup)
def data() -> None:
    """Collect, label, check and split images."""
