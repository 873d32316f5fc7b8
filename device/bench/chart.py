"""A sustained run as a picture: what became of speed, temperature and clock, and when the board slowed itself down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.vision.image import Image

WIDTH, PANEL_HEIGHT, LEFT_MARGIN, TOP_MARGIN = (
    900,
    170,
    70,
    34,
)  # pixels; a panel's curves stand right of LEFT and below TOP
BOTTOM_MARGIN = 24  # pixels below a panel's curves
TEXT_COLOR, GRID_COLOR, THROTTLED_COLOR, UNDER_VOLTAGE_COLOR = (
    (40, 40, 40),
    (215, 215, 215),
    (255, 214, 214),
    (255, 240, 190),
)  # RGB
PANELS = (
    ("whole frame, ms (p50, and p99 in grey)", ("p99", "p50"), ((165, 165, 165), (31, 119, 180))),
    ("frames a second", ("frames_a_second",), ((44, 160, 44),)),
    ("temperature, degrees Celsius", ("temperature",), ((214, 39, 40),)),
    ("clock of the fastest core, MHz", ("mhz",), ((148, 103, 189),)),
)
Row = dict[str, Any]


def write_chart(path: Path, rows: list[Row], title: str) -> None:
    """Draw "over_time" of a report as a PNG. Raises DataError when there is nothing to draw, or no way to write."""
    if len(rows) < 2:
        raise DataError(f"{path} is not drawn: the run was too short; give it more time by --duration")
    sheet = np.vstack([_draw_heading(title), *(_draw_panel(rows, *panel) for panel in PANELS)])
    atomic_write(path, cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def _draw_heading(title: str) -> Image:
    band = np.full((56, WIDTH, 3), 255, np.uint8)
    _draw_text(band, title, (12, 22), 0.5)
    band[36:48, 12:24], band[36:48, 262:274] = THROTTLED_COLOR, UNDER_VOLTAGE_COLOR
    _draw_text(band, "the board slowed itself down", (30, 47), 0.42)
    _draw_text(band, "the supply was too weak", (280, 47), 0.42)
    return band


def _draw_panel(rows: list[Row], name: str, keys: tuple[str, ...], colors: tuple[tuple[int, int, int], ...]) -> Image:
    """(PANEL, WIDTH, 3): curves over the seconds of the run; behind them, when the board complained."""
    panel = np.full((PANEL_HEIGHT, WIDTH, 3), 255, np.uint8)
    _draw_text(panel, name, (LEFT_MARGIN, 20), 0.45)
    values = [row[key] for row in rows for key in keys if row[key] is not None]
    if not values:
        _draw_text(panel, "this machine does not tell", (LEFT_MARGIN, PANEL_HEIGHT // 2), 0.45)
        return panel
    low, high = axis_range(values)
    end, across, down = rows[-1]["s"], WIDTH - LEFT_MARGIN - 16, PANEL_HEIGHT - TOP_MARGIN - BOTTOM_MARGIN
    xs = [LEFT_MARGIN + round(across * row["s"] / end) for row in rows]
    for row, begin, x in zip(rows, [LEFT_MARGIN, *xs], xs, strict=False):
        if row["throttled"] or row["under_voltage"]:
            panel[TOP_MARGIN : TOP_MARGIN + down, begin:x] = (
                THROTTLED_COLOR if row["throttled"] else UNDER_VOLTAGE_COLOR
            )
    for share in (0.0, 0.5, 1.0):
        y = TOP_MARGIN + round(down * (1 - share))
        cv2.line(panel, (LEFT_MARGIN, y), (WIDTH - 16, y), GRID_COLOR, 1)
        _draw_text(panel, f"{low + share * (high - low):.4g}", (8, y + 4), 0.4)
        _draw_text(panel, f"{share * end:.0f} s", (LEFT_MARGIN + round(across * share) - 14, PANEL_HEIGHT - 6), 0.4)
    for key, color in zip(keys, colors, strict=True):
        points = [
            (x, TOP_MARGIN + round(down * (high - row[key]) / (high - low)))
            for x, row in zip(xs, rows, strict=True)
            if row[key] is not None
        ]
        cv2.polylines(panel, [np.array(points, np.int32)], False, color, 2, cv2.LINE_AA)
    return panel


def axis_range(values: list[float]) -> tuple[float, float]:
    """Of an axis: a little more than what was told, and never nothing; below zero only if that was told."""
    low, high = min(values), max(values)
    margin = max(0.05 * (high - low), 0.02 * abs(high), 1e-6)
    return max(low - margin, 0.0) if low >= 0 else low - margin, high + margin


def _draw_text(image: Image, text: str, place: tuple[int, int], scale: float) -> None:
    plain = text.encode("ascii", "replace").decode()  # OpenCV's letters are no others
    cv2.putText(image, plain, place, cv2.FONT_HERSHEY_SIMPLEX, scale, TEXT_COLOR, 1, cv2.LINE_AA)
