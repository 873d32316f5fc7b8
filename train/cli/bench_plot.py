"""`pocketsight bench plot`: the chart of a sustained run, with speed, temperature, clock and throttling over time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import click

from pocketsight.device.bench.reports import MeasuredReport, RunReport, TelemetryRow
from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write

SIZE_INCHES, DPI = (9, 8), 100
THROTTLED_COLOR, UNDER_VOLTAGE_COLOR = "#ffd6d6", "#fff0be"
Curve = tuple[str, str, str]  # key of a telemetry row, label, color
PANELS: tuple[tuple[str, tuple[Curve, ...]], ...] = (
    ("ms per frame", (("p99", "p99", "#a5a5a5"), ("p50", "p50", "#1f77b4"))),
    ("frames per second", (("fps", "", "#2ca02c"),)),
    ("temperature, °C", (("temperature_c", "", "#d62728"),)),
    ("clock of the fastest core, MHz", (("cpu_mhz", "", "#9467bd"),)),
)


@click.command()
@click.argument("report", metavar="REPORT.json", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE.png", help="Image to write.  [default: REPORT.png]"
)
def plot(report: Path, out: Path | None) -> None:
    """Draw the speed, temperature and throttling of a sustained run.

    REPORT.json is the output of `pocketsight bench --duration TIME --json`.
    """
    from pocketsight.device.bench.compare import read_report

    target = out or report.with_suffix(".png")
    write_chart(target, read_report(report))
    click.echo(f"wrote {target}", err=True)


def write_chart(path: Path, report: MeasuredReport) -> None:
    """Draw the telemetry of a report as a PNG.

    Raises DataError when the report has fewer than two telemetry rows, or the file cannot be written.
    """
    rows = cast(RunReport, report)["telemetry"] if report["kind"] == "run" else []
    if len(rows) < 2:
        raise DataError(
            f"{path} is not drawn: the report has too little telemetry; make one with: bench --duration 10min --json"
        )
    atomic_write(path, draw_chart(rows, chart_title(report)))


def chart_title(report: MeasuredReport) -> str:
    """Board, models and threads."""
    models = ", ".join(f"{model['arch']} {model['precision']}" for model in report["models"])
    return f"{report['environment']['board']}: {models}, {report['models'][0]['threads']} thread(s)"


def draw_chart(rows: Sequence[TelemetryRow], title: str) -> bytes:
    """The PNG of a chart with one panel per quantity; needs two rows or more."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize="medium")
    axes = figure.subplots(len(PANELS), sharex=True)
    for panel, (name, curves) in zip(axes, PANELS, strict=True):
        draw_panel(panel, rows, name, curves)
    axes[-1].set_xlabel("seconds")
    patches = [Patch(color=THROTTLED_COLOR, label="throttled"), Patch(color=UNDER_VOLTAGE_COLOR, label="under-voltage")]
    figure.legend(handles=patches, loc="outside lower right", ncols=2, frameon=False, fontsize="small")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def draw_panel(panel: Any, rows: Sequence[TelemetryRow], name: str, curves: Sequence[Curve]) -> None:
    """Draw the curves of one panel, and color the windows with throttling or under-voltage behind them."""
    panel.set_title(name, fontsize="small", loc="left")
    panel.grid(color="#d7d7d7", linewidth=0.5)
    panel.set_xlim(0, rows[-1]["elapsed_s"])
    seconds = [row["elapsed_s"] for row in rows]
    for row, start in zip(rows, [0.0, *seconds], strict=False):
        if row["throttled"] or row["under_voltage"]:
            color = THROTTLED_COLOR if row["throttled"] else UNDER_VOLTAGE_COLOR
            panel.axvspan(start, row["elapsed_s"], color=color, linewidth=0)
    values = []
    for key, label, color in curves:
        pairs = ((row["elapsed_s"], cast(dict[str, float | None], row)[key]) for row in rows)
        points = [(x, y) for x, y in pairs if y is not None]
        values += [y for _, y in points]
        panel.plot([x for x, _ in points], [y for _, y in points], color=color, label=label)
    if values:
        panel.set_ylim(axis_range(values))
    else:
        panel.text(0.5, 0.5, "not reported by this machine", ha="center", va="center", transform=panel.transAxes)
    if len(curves) > 1:
        panel.legend(loc="upper left", fontsize="small", ncols=len(curves), frameon=False)


def axis_range(values: Sequence[float]) -> tuple[float, float]:
    """The range of an axis: a little more than that of the values, never empty, and below zero only if they are."""
    low, high = min(values), max(values)
    margin = max(0.05 * (high - low), 0.02 * abs(high), 1e-6)
    return max(low - margin, 0.0) if low >= 0 else low - margin, high + margin
