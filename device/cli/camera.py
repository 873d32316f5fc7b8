"""`pocketsight camera`: which there are, and what one gives."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pocketsight.device.cli.options import SizeParam
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.shipped import MODELS_DIR

if TYPE_CHECKING:
    from pocketsight.device.camera.devices import VideoDevice
    from pocketsight.device.camera.diagnose import CameraReport
    from pocketsight.device.inference.interpreter import Model


@click.group()
def camera() -> None:
    """Find cameras and try them."""


@camera.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(as_json: bool) -> None:
    """Show which cameras there are, and who holds them."""
    from pocketsight.device.camera.devices import list_cameras, list_pi_cameras

    found = list_cameras()
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    why = list_pi_cameras()[1]
    lines = [_device_line(one) for one in found] or ["no camera at this machine"]
    click.echo("\n".join(lines + ([f"no pi: {why}"] if why else [])))


def _device_line(device: VideoDevice) -> str:
    held = f"; held by {', '.join(device.holders)}" if device.holders else ""
    takes = f"--camera {device.source}" if device.is_capture_device else "no camera"
    return f"{takes:14} {device.name} ({device.note}){held}"


@camera.command("test")
@click.argument("source", default="auto")
@click.option("--duration", default=3.0, show_default=True, type=click.FloatRange(0.1, 600), help="How long to look.")
@click.option("--resolution", type=SizeParam(), default="640x480", show_default=True, help="Asked of a live camera.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE.png", help="Write a sheet to look at.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def test(source: str, duration: float, resolution: tuple[int, int], out: Path | None, as_json: bool) -> None:
    """Try SOURCE, as for run, and tell what it gives. The sheet shows whether red and blue are in their places."""
    from pocketsight.device.camera.diagnose import diagnose_camera, write_test_sheet

    detector, why = _load_detector()
    trial, sheet = diagnose_camera(source, resolution, duration, detector)
    if out:
        write_test_sheet(out, sheet)
    click.echo(json.dumps(trial.to_dict(), indent=2) if as_json else _report_text(trial))
    if why:
        click.echo(f"faces were not looked for: {why}", err=True)
    if out:
        click.echo(f"wrote {out}", err=True)


def _load_detector() -> tuple[Model | None, str]:
    """The detector that comes with pocketsight; a camera can be tried without."""
    from pocketsight.device.inference.interpreter import load_on_cpu

    try:
        return load_on_cpu(MODELS_DIR / "detector.tflite", "detector", 1), ""
    except ModelError as error:
        return None, str(error)


def _report_text(report: CameraReport) -> str:
    since = (
        "since its exposure"
        if report.has_timestamps
        else "since it arrived; this camera does not say when it was exposed"
    )
    rows = {
        "camera": report.camera,
        "size": f"{report.width}x{report.height}",
        "frames": f"{report.frames} in {report.duration_s:g} s, {report.fps:g} a second, {report.dropped} dropped",
        "age": f"{report.latency_ms:g} ms {since}",
        "frozen": f"{'YES' if report.frozen else 'no'}, {report.repeated_frames} frames were the one before",
        "brightness": f"{report.brightness:g} of 255",
        "sharpness": f"{report.sharpness:g}",
    }
    if report.faces is not None:
        rows["faces"] = f"{report.faces} in the last frame"
    lines = [f"{name:11} {value}" for name, value in rows.items()]
    return "\n".join(lines + [f"warning: {line}" for line in report.warnings()])
