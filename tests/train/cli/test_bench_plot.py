"""`pocketsight bench plot`: the chart of telemetry that was planted."""

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pocketsight.device.bench.reports import TelemetryRow
from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import read_image
from pocketsight.train.cli.bench_plot import PANELS, THROTTLED_COLOR, axis_range, draw_chart, draw_panel, write_chart
from tests.device.cli.test_cli import error, pocketsight
from tests.support.timings import noisy, run_report


def telemetry(**more: Any) -> list[TelemetryRow]:
    """A hundred windows of a second."""
    row = TelemetryRow(
        elapsed_s=0,
        fps=30.0,
        p50=10.0,
        p99=12.0,
        temperature_c=60.0,
        cpu_mhz=1800.0,
        throttled=False,
        under_voltage=None,
        throttled_bits=None,
    )
    return [{**row, **more, "elapsed_s": float(s), "throttled": 40 < s <= 60} for s in range(1, 101)]  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("told", "low"), [([0.5, 80.0], 0.0), ([-4.0, 6.0], -4.5), ([40.0, 60.0], 38.8), ([0.0, 0.0], 0.0)]
)
def test_an_axis_of_a_chart_goes_below_zero_only_for_what_does(told: list[float], low: float) -> None:
    found = axis_range(told)
    assert found[0] == pytest.approx(low) and found[1] > max(told)


def test_a_chart_shows_where_the_board_slowed_itself_down() -> None:
    panel = Figure().subplots()
    draw_panel(panel, telemetry(), *PANELS[0])
    spans = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
    assert {patch.get_facecolor()[:3] for patch in spans} == {to_rgb(THROTTLED_COLOR)}
    edges = [x for patch in spans for x in (patch.get_x(), patch.get_x() + patch.get_width())]
    assert len(spans) == 20 and (min(edges), max(edges)) == (40, 60)
    assert [line.get_label() for line in panel.get_lines()] == ["p99", "p50"]


def test_a_machine_that_tells_nothing_is_drawn_all_the_same() -> None:
    assert draw_chart(telemetry(temperature_c=None, cpu_mhz=None), "no board").startswith(b"\x89PNG")


def test_a_chart_is_made_of_a_report(tmp_path: Path) -> None:
    path = tmp_path / "heat.json"
    path.write_text(json.dumps(run_report({"total": noisy(1, 10.0)}, telemetry=telemetry())))
    done = pocketsight("bench", "plot", path)
    assert done.exit_code == 0 and read_image(tmp_path / "heat.png").shape[1] == 900
    assert pocketsight("bench", "plot", path, "-o", tmp_path / "a.png").exit_code == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "heat.png").read_bytes()
    assert "plot" in pocketsight("bench", "--help").output


def test_a_report_without_telemetry_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(run_report({"total": noisy(1, 10.0)})))
    assert "too little telemetry" in error("bench", "plot", path)
    path.write_text(json.dumps(run_report({"total": noisy(1, 10.0)}, telemetry=[{"elapsed_s": 1}] * 2)))
    assert "is incomplete or was changed" in error("bench", "plot", path)
    path.write_text(json.dumps(run_report({"total": noisy(1, 10.0)}, telemetry=telemetry())))
    assert "cannot be written" in error("bench", "plot", path, "-o", path / "a.png")
    with pytest.raises(DataError, match="too little telemetry"):
        write_chart(tmp_path / "b.png", run_report({}, telemetry=telemetry()[:1]))
