"""`pocketsight camera`: which there are, and what one gives."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pocketsight.device.commands.options import MODELS, Size
from pocketsight.device.errors import ModelError

if TYPE_CHECKING:
    from pocketsight.device.camera.devices import Found
    from pocketsight.device.camera.trial import Trial
    from pocketsight.device.interpreter import Loaded


@click.group()
def camera() -> None:
    """Find cameras and try them."""


@camera.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(as_json: bool) -> None:
    """Show which cameras there are, and who holds them."""
    from pocketsight.device.camera.devices import cameras, pi_cameras

    found = cameras()
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    why = pi_cameras()[1]
    lines = [_found(one) for one in found] or ["no camera at this machine"]
    click.echo("\n".join(lines + ([f"no pi: {why}"] if why else [])))


def _found(one: Found) -> str:
    held = f"; held by {', '.join(one.held)}" if one.held else ""
    takes = f"--camera {one.source}" if one.captures else "no camera"
    return f"{takes:14} {one.name} ({one.note}){held}"


@camera.command("test")
@click.argument("source", default="auto")
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(0.1, 600), help="How long to look.")
@click.option("--size", type=Size(), default="640x480", show_default=True, help="Asked of a live camera.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE.png", help="Write a sheet to look at.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def test(source: str, seconds: float, size: tuple[int, int], out: Path | None, as_json: bool) -> None:
    """Try SOURCE, as for run, and tell what it gives. The sheet shows whether red and blue are in their places."""
    from pocketsight.device.camera.trial import try_camera, write_sheet

    detector, why = _detector()
    trial, sheet = try_camera(source, size, seconds, detector)
    if out:
        write_sheet(out, sheet)
    click.echo(json.dumps(trial.entry(), indent=2) if as_json else _text(trial))
    if why:
        click.echo(f"faces were not looked for: {why}", err=True)
    if out:
        click.echo(f"wrote {out}", err=True)


def _detector() -> tuple[Loaded | None, str]:
    """The detector that comes with pocketsight; a camera can be tried without."""
    from pocketsight.device.interpreter import load

    try:
        return load(MODELS / "detector.tflite", "detector", 1), ""
    except ModelError as error:
        return None, str(error)


def _text(trial: Trial) -> str:
    since = "since its exposure" if trial.stamped else "since it arrived; this camera does not say when it was exposed"
    rows = {
        "camera": trial.camera,
        "size": f"{trial.width}x{trial.height}",
        "frames": f"{trial.frames} in {trial.seconds:g} s, {trial.fps:g} a second, {trial.dropped} dropped",
        "age": f"{trial.age:g} ms {since}",
        "frozen": f"{'YES' if trial.frozen else 'no'}, {trial.same} frames were the one before",
        "brightness": f"{trial.brightness:g} of 255",
        "sharpness": f"{trial.sharpness:g}",
    }
    if trial.faces is not None:
        rows["faces"] = f"{trial.faces} in the last frame"
    lines = [f"{name:11} {value}" for name, value in rows.items()]
    return "\n".join(lines + [f"warning: {line}" for line in trial.warnings()])
