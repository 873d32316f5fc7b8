"""`pocketsight doctor`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from pocketsight.device.doctor.report import Finding
from pocketsight.device.errors import PocketsightError
from pocketsight.device.inference.shipped import MODELS_DIR


@click.command()
@click.argument("message", nargs=-1)
@click.option(
    "--detector",
    type=click.Path(path_type=Path),
    default=MODELS_DIR / "detector.tflite",
    help="The detector.  [default: the one that comes with pocketsight]",
)
@click.option(
    "--classifier",
    type=click.Path(path_type=Path),
    default=MODELS_DIR / "sentiment.tflite",
    help="The classifier.  [default: the one that comes with pocketsight]",
)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("."), help="Where the log goes.  [default: here]"
)
@click.option("--config", type=click.Path(path_type=Path), help="A file of settings for run: is it right?")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Of the page.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(
    message: tuple[str, ...],
    detector: Path,
    classifier: Path,
    folder: Path,
    config: Path | None,
    port: int,
    as_json: bool,
) -> None:
    """Find out what is wrong with this machine, and say what cures it.

    Status 1 when something must be mended first. With an error MESSAGE: what that one means.
    """
    from pocketsight.device.doctor import known_errors, report
    from pocketsight.device.doctor.checks import make_checks

    if message:
        cure = known_errors.find_fix(" ".join(message))
        click.echo(cure or "not a message that the doctor knows; pocketsight doctor without it looks at the machine")
        sys.exit(0 if cure else 1)
    settings = (lambda: check_config(config)) if config else None
    found = report.run_checks(make_checks(detector, classifier, MODELS_DIR / "detector.tflite", folder, port, settings))
    click.echo(json.dumps(report.as_json(found), indent=2) if as_json else report.as_text(found))
    sys.exit(1 if report.has_failures(found) else 0)


def check_config(path: Path) -> Finding:
    """Would `pocketsight run --config` take this file?"""
    from pocketsight.device.cli.config_file import read_config_file
    from pocketsight.device.cli.run import run

    try:
        count = len(read_config_file(path, run, click.Context(run)))
    except PocketsightError as error:
        return Finding("settings", "fail", str(error), f"mend {path}; pocketsight config show shows what holds")
    return Finding("settings", "ok", f"{count} in {path}")
