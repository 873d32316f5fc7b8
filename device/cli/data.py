"""`pocketsight data`: the group; most of its commands are the workstation's."""

from __future__ import annotations

import click

from pocketsight.device.cli.main import DataCommandGroup


@click.group(cls=DataCommandGroup)
def data() -> None:
    """Collect pictures, label, check and split them."""
