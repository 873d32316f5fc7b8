"""`pocketsight data capture`."""

from __future__ import annotations

from pathlib import Path

import click

from pocketsight.device.cli.options import SizeParam


@click.command()
@click.option("--camera", default="auto", show_default=True, metavar="SOURCE", help="As for run.")
@click.option("--count", default=30, show_default=True, type=click.IntRange(1), help="Pictures to take.")
@click.option("--interval", default=0.5, show_default=True, type=click.FloatRange(0), help="Seconds between two.")
@click.option("--countdown", default=3, show_default=True, type=click.IntRange(0), help="Seconds before the first.")
@click.option("--show/--no-show", default=None, help="A window.  [default: where there is a screen]")
@click.option("--resolution", type=SizeParam(), default="640x480", show_default=True, help="Asked of a live camera.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The folder of the pictures.")
def capture(
    camera: str, count: int, interval: float, countdown: int, show: bool | None, resolution: tuple[int, int], out: Path
) -> None:
    """Take pictures with a camera. Space pauses, u takes the last one back, q ends."""
    from pocketsight.device.runtime import collect as module
    from pocketsight.device.system.desktop import has_display

    window = has_display() if show is None else show
    click.echo(
        module.describe_result(module.capture_images(camera, resolution, out, count, interval, countdown, window)),
        err=True,
    )
