"""`pocketsight data capture`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pocketsight.device.cli.options import CAMERA_FIELDS, click_option, config_options
from pocketsight.device.runtime.config import RunConfig


@click.command()
@click_option("camera")
@click.option("--count", default=30, metavar="N", type=click.IntRange(1), help="Images to take.  [default: 30]")
@click.option(
    "--interval",
    default=0.5,
    metavar="SECONDS",
    type=click.FloatRange(0),
    help="Time between two images.  [default: 0.5]",
)
@click.option(
    "--countdown",
    default=3,
    metavar="SECONDS",
    type=click.IntRange(0),
    help="Time before the first image.  [default: 3]",
)
@click.option("--show/--no-show", default=None, help="Open a window.  [default: if there is a screen]")
@config_options(CAMERA_FIELDS)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the images.")
def capture(
    camera: str, count: int, interval: float, countdown: int, show: bool | None, out: Path, **options: Any
) -> None:
    """Take images with a camera. Space pauses, u deletes the last image, q quits."""
    from pocketsight.device.runtime import dataset_capture
    from pocketsight.device.system.desktop import has_display

    window = has_display() if show is None else show
    config = RunConfig(camera, **options)
    summary = dataset_capture.capture_images(
        camera, config.resolution, out, count, interval, countdown, window, config.camera_options()
    )
    click.echo(dataset_capture.describe_result(summary), err=True)
