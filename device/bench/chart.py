"""A sustained run as a picture: what became of speed, temperature and clock, and when the board slowed itself down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.files import write_whole
from pocketsight.device.image import Image

WIDTH, PANEL, LEFT, TOP = 900, 170, 70, 34  # pixels; a panel's curves stand right of LEFT and below TOP
FLOOR = 24  # pixels below a panel's curves
INK, FAINT, SLOWED, WEAK = (40, 40, 40), (215, 215, 215), (255, 214, 214), (255, 240, 190)  # RGB
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
        raise DataError(f"{path} is not drawn: the run was too short; give it more time by --for")
    sheet = np.vstack([_heading(title), *(_panel(rows, *panel) for panel in PANELS)])
    write_whole(path, cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def _heading(title: str) -> Image:
    band = np.full((56, WIDTH, 3), 255, np.uint8)
    _text(band, title, (12, 22), 0.5)
    band[36:48, 12:24], band[36:48, 262:274] = SLOWED, WEAK
    _text(band, "the board slowed itself down", (30, 47), 0.42)
    _text(band, "the supply was too weak", (280, 47), 0.42)
    return band


def _panel(rows: list[Row], name: str, keys: tuple[str, ...], colours: tuple[tuple[int, int, int], ...]) -> Image:
    """(PANEL, WIDTH, 3): curves over the seconds of the run; behind them, when the board complained."""
    panel = np.full((PANEL, WIDTH, 3), 255, np.uint8)
    _text(panel, name, (LEFT, 20), 0.45)
    told = [row[key] for row in rows for key in keys if row[key] is not None]
    if not told:
        _text(panel, "this machine does not tell", (LEFT, PANEL // 2), 0.45)
        return panel
    low, high = axis(told)
    end, across, down = rows[-1]["s"], WIDTH - LEFT - 16, PANEL - TOP - FLOOR
    xs = [LEFT + round(across * row["s"] / end) for row in rows]
    for row, begin, x in zip(rows, [LEFT, *xs], xs, strict=False):
        if row["throttled"] or row["under_voltage"]:
            panel[TOP : TOP + down, begin:x] = SLOWED if row["throttled"] else WEAK
    for share in (0.0, 0.5, 1.0):
        y = TOP + round(down * (1 - share))
        cv2.line(panel, (LEFT, y), (WIDTH - 16, y), FAINT, 1)
        _text(panel, f"{low + share * (high - low):.4g}", (8, y + 4), 0.4)
        _text(panel, f"{share * end:.0f} s", (LEFT + round(across * share) - 14, PANEL - 6), 0.4)
    for key, colour in zip(keys, colours, strict=True):
        points = [
            (x, TOP + round(down * (high - row[key]) / (high - low)))
            for x, row in zip(xs, rows, strict=True) if row[key] is not None
        ]  # fmt: skip
        cv2.polylines(panel, [np.array(points, np.int32)], False, colour, 2, cv2.LINE_AA)
    return panel


def axis(told: list[float]) -> tuple[float, float]:
    """Of an axis: a little more than what was told, and never nothing; below zero only if that was told."""
    low, high = min(told), max(told)
    room = max(0.05 * (high - low), 0.02 * abs(high), 1e-6)
    return max(low - room, 0.0) if low >= 0 else low - room, high + room


def _text(image: Image, words: str, place: tuple[int, int], scale: float) -> None:
    plain = words.encode("ascii", "replace").decode()  # OpenCV's letters are no others
    cv2.putText(image, plain, place, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)
