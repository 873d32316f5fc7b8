"""Contact sheets: images in a grid, with a legend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.system.surrogates import replace_surrogates
from pocketsight.device.vision.boxes import Boxes
from pocketsight.device.vision.image import Image, write_png

GREEN, RED, BLUE, ORANGE = (60, 220, 90), (255, 60, 60), (80, 150, 255), (255, 170, 40)
LEGEND_HEIGHT = 28  # px

Legend = Sequence[tuple[str, tuple[int, int, int]]]  # (text, RGB color)


def contact_sheet(tiles: Sequence[Image], columns: int, legend: Legend) -> Image:
    """Images of one size (H, W, 3) as a grid, with the legend below."""
    blank = np.full_like(tiles[0], 255)
    rows = [list(tiles[n : n + columns]) for n in range(0, len(tiles), columns)]
    rows[-1] += [blank] * (columns - len(rows[-1]))
    grid = np.vstack([np.hstack(row) for row in rows])
    footer = np.full((LEGEND_HEIGHT, grid.shape[1], 3), 30, np.uint8)
    x = 8
    for text, color in [(replace_surrogates(text), color) for text, color in legend]:
        cv2.putText(footer, text, (x, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
        x += cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0] + 24
    return np.vstack([grid, footer])


def write_contact_sheet(tiles: Sequence[Image], columns: int, target: Path, legend: Legend) -> None:
    """Write the contact sheet of some images into a PNG. Raises DataError."""
    write_png(target, contact_sheet(tiles, columns, legend))


def draw_boxes(image: Image, groups: Sequence[tuple[Boxes, tuple[int, int, int]]]) -> Image:
    """A copy of the image with groups of boxes (N, 4), each in its RGB color."""
    canvas = image.copy()
    for boxes, color in groups:
        for left, top, right, bottom in np.asarray(boxes, float).reshape(-1, 4).round().astype(int).tolist():
            cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), color, 1)
    return canvas
