"""`pocketsight doctor`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from pocketsight.device.cli.options import StrictCommand, click_option
from pocketsight.device.doctor.report import Finding
from pocketsight.device.errors import PocketsightError
from pocketsight.device.inference.shipped import DETECTOR


@click.command(cls=StrictCommand)
@click.argument("message", nargs=-1)
@click_option("detector")
@click_option("classifier")
@click.option(
    "--log-dir",
    type=click.Path(path_type=Path),
    default=Path("."),
    metavar="FOLDER",
    help="Folder for the log.  [default: the current folder]",
)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE.toml", help="Also check this settings file.")
@click.option(
    "--port", default=8080, metavar="PORT", type=click.IntRange(1, 65535), help="Port of the web page.  [default: 8080]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(
    message: tuple[str, ...],
    detector: Path,
    classifier: Path | None,
    log_dir: Path,
    config: Path | None,
    port: int,
    as_json: bool,
) -> None:
    """Check this machine and suggest a fix for each problem.

    The exit status is 1 if there is an error. With MESSAGE, explain this error message instead.
    """
    from pocketsight.device.doctor import known_errors, report
    from pocketsight.device.doctor.checks import make_checks
    from pocketsight.device.doctor.view import check_view

    if message:
        fix = known_errors.find_fix(" ".join(message))
        click.echo(fix or "this message is not known; run pocketsight doctor to check the machine")
        sys.exit(0 if fix else 1)
    settings = (lambda: check_config(config)) if config else None
    view = (lambda: check_view_of(config)) if config else check_view
    findings = report.run_checks(make_checks(detector, classifier, DETECTOR, log_dir, port, settings, view))
    click.echo(json.dumps(report.as_json(findings), indent=2) if as_json else report.as_text(findings))
    sys.exit(1 if report.has_failures(findings) else 0)


def check_config(path: Path) -> Finding:
    """Would `pocketsight run --config` accept this file?"""
    from pocketsight.device.cli.config_file import read_config_file
    from pocketsight.device.cli.run import read_config, run

    try:
        read_config(run, ["--config", str(path)])
        count = len(read_config_file(path))
    except PocketsightError as error:
        return Finding(
            "settings", "fail", str(error), f"correct {path}; pocketsight config show --toml shows an example"
        )
    return Finding("settings", "ok", f"{count} in {path}")


def check_view_of(path: Path) -> Finding | None:
    """Does the camera of a settings file see upright faces?"""
    from pocketsight.device.cli.run import read_config, run
    from pocketsight.device.doctor.view import check_view

    try:
        config = read_config(run, ["--config", str(path)])
    except PocketsightError:  # `check_config` says so
        return None
    return check_view(config.camera, config.rotate, config.mirror)
