"""`pocketsight camera`: the list of cameras, and a test of one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pocketsight.device.cli.options import CAMERA_FIELDS, config_options
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.shipped import DETECTOR
from pocketsight.device.runtime.config import RunConfig

if TYPE_CHECKING:
    from pocketsight.device.camera.devices import VideoDevice
    from pocketsight.device.camera.diagnose import CameraReport
    from pocketsight.device.inference.interpreter import Model


@click.group()
def camera() -> None:
    """List cameras and test one."""


@camera.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the cameras, and the processes that use them."""
    from pocketsight.device.camera.devices import list_cameras, list_pi_cameras

    devices = list_cameras()
    if as_json:
        click.echo(json.dumps([asdict(device) for device in devices], indent=2))
        return
    no_pi_reason = list_pi_cameras()[1]
    lines = [_device_line(device) for device in devices] or ["no camera is connected"]
    click.echo("\n".join(lines + ([f"no pi: {no_pi_reason}"] if no_pi_reason else [])))


def _device_line(device: VideoDevice) -> str:
    holders = f"; used by {', '.join(device.holders)}" if device.holders else ""
    option = f"--camera {device.source}" if device.is_capture_device else "not a camera"
    return f"{option:14} {device.name} ({device.note}){holders}"


@camera.command("test")
@click.argument("source", default="auto")
@click.option(
    "--duration",
    default=3.0,
    metavar="SECONDS",
    type=click.FloatRange(0.1, 600),
    help="Time to read frames.  [default: 3]",
)
@config_options(CAMERA_FIELDS)
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE.png", help="Write a test sheet.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def test(source: str, duration: float, out: Path | None, as_json: bool, **camera: Any) -> None:
    """Read frames from SOURCE, as for run, and report their rate, age and quality.

    The test sheet shows the last frame in its four turns, and with red and blue swapped.
    """
    from pocketsight.device.camera.diagnose import diagnose_camera
    from pocketsight.device.vision.image import write_png

    detector, load_error = _load_detector()
    config = RunConfig(**camera)
    report, sheet = diagnose_camera(source, config.resolution, duration, detector, config.camera_options())
    if out:
        write_png(out, sheet)
    click.echo(json.dumps(report.to_dict(), indent=2) if as_json else _report_text(report))
    if load_error:
        click.echo(f"faces were not counted: {load_error}", err=True)
    if out:
        click.echo(f"wrote {out}", err=True)


def _load_detector() -> tuple[Model | None, str]:
    """The shipped detector, or None and the reason; a camera can be tested without it."""
    from pocketsight.device.inference.interpreter import load_on_cpu

    try:
        return load_on_cpu(DETECTOR, "detector", 1), ""
    except ModelError as error:
        return None, str(error)


def _report_text(report: CameraReport) -> str:
    since = "since exposure" if report.has_timestamps else "since arrival; this camera does not report exposure times"
    rows = {
        "camera": report.camera,
        "size": f"{report.width}x{report.height}",
        "frames": f"{report.frames} in {report.duration_s:g} s, {report.fps:g} per second, {report.dropped} dropped",
        **({} if report.latency_ms is None else {"age": f"{report.latency_ms:g} ms {since}"}),
        "frozen": f"{'YES' if report.frozen else 'no'}, {report.repeated_frames} repeated frames",
        "brightness": f"{report.brightness:g} of 255",
        "sharpness": f"{report.sharpness:g}",
    }
    if report.faces is not None:
        rows["faces"] = f"{report.faces} in the last frame"
    lines = [f"{name:11} {value}" for name, value in rows.items()]
    return "\n".join(lines + [f"warning: {line}" for line in report.warnings()])
