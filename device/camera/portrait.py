"""A drawn person whom the shipped models take for one: for trying everything without a camera or a photograph."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.image import Image

Colour = tuple[int, int, int]
Mask = NDArray[np.uint8]  # (side, side), 255 where the person is

SIDE, SHIFT = 512, 4  # pixels that are drawn, and OpenCV's fractional bits
FACE = 0.265, 0.165, 0.735, 0.795  # left, top, right, bottom of the face in the portrait
EYES, MOUTH = 0.1, 0.62  # from the middle, and down


@dataclass(frozen=True)
class Look:
    """Whom to draw."""

    skin: Colour
    hair: Colour
    shirt: Colour


LOOKS = Look((224, 172, 135), (60, 40, 25), (60, 90, 140)), Look((240, 200, 175), (150, 110, 60), (70, 120, 80))


class _Sheet:
    """Where a portrait is drawn; lengths are shares of its side."""

    def __init__(self, look: Look) -> None:
        self.image: Image = np.zeros((SIDE, SIDE, 3), np.uint8)
        self.mask: Mask = np.zeros((SIDE, SIDE), np.uint8)
        self.light = np.ones((SIDE, SIDE), np.float32)
        self.look = look

    def tone(self, factor: float) -> Colour:
        """The skin, darker or lighter."""
        red, green, blue = (min(255, round(level * factor)) for level in self.look.skin)
        return red, green, blue

    def oval(self, x: float, y: float, w: float, h: float, colour: Colour, body: bool = False) -> None:
        """Filled; `body` belongs to the person's outline."""
        self.arc(x, y, w, h, 0, 360, colour, -1 / SIDE)
        if body:
            cv2.ellipse(self.mask, _point(x, y), _point(w, h), 0, 0, 360, 255, -1, cv2.LINE_AA, SHIFT)

    def arc(
        self, x: float, y: float, w: float, h: float, start: float, end: float, colour: Colour, thick: float
    ) -> None:  # fmt: skip
        """A part of an ellipse's edge, from `start` to `end` degrees."""
        line = max(1, round(thick * SIDE)) if thick > 0 else -1
        cv2.ellipse(self.image, _point(x, y), _point(w, h), 0, start, end, colour, line, cv2.LINE_AA, SHIFT)

    def line(self, points: list[tuple[float, float]], colour: Colour, thick: float) -> None:
        """Through `points`."""
        path = np.array([_point(*point) for point in points], np.int32)
        cv2.polylines(self.image, [path], False, colour, max(1, round(thick * SIDE)), cv2.LINE_AA, SHIFT)

    def fill(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """The area within `points`."""
        cv2.fillPoly(self.image, [np.array([_point(*p) for p in points], np.int32)], colour, cv2.LINE_AA, SHIFT)

    def shade(self, x: float, y: float, w: float, h: float, soft: float, much: float) -> None:
        """Light (`much` > 0) or shadow on what was drawn so far, with soft edges."""
        spot = np.zeros((SIDE, SIDE), np.float32)
        cv2.ellipse(spot, _point(x, y), _point(w, h), 0, 0, 360, 1.0, -1, cv2.LINE_AA, SHIFT)
        self.light += np.float32(much) * cv2.GaussianBlur(spot, (0, 0), soft * SIDE)

    def shine(self) -> None:
        """Apply the light."""
        self.image = np.clip(self.image * self.light[..., None], 0, 255).astype(np.uint8)


def _point(x: float, y: float) -> tuple[int, int]:
    return round(x * SIDE * 2**SHIFT), round(y * SIDE * 2**SHIFT)


def draw_portrait(mood: str, look: Look, side: int) -> tuple[Image, Mask]:
    """A person, happy or sad, as RGB (side, side, 3), and where it is in it (side, side)."""
    sheet = _Sheet(look)
    _head(sheet)
    for where in (-1, 1):
        _eye(sheet, where, mood)
    _nose(sheet)
    (_smile if mood == "happy" else _frown)(sheet)
    image = cv2.resize(cv2.GaussianBlur(sheet.image, (0, 0), 1.0), (side, side), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(sheet.mask, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8), np.where(mask > 127, 255, 0).astype(np.uint8)


def _head(sheet: _Sheet) -> None:
    sheet.oval(0.5, 0.42, 0.285, 0.34, sheet.look.hair, body=True)
    sheet.oval(0.5, 1.04, 0.42, 0.22, sheet.look.shirt, body=True)
    sheet.oval(0.5, 0.83, 0.115, 0.14, sheet.tone(0.78), body=True)
    for where in (-1, 1):
        sheet.oval(0.5 + where * 0.245, 0.5, 0.035, 0.065, sheet.tone(0.85), body=True)
    sheet.oval(0.5, 0.48, 0.235, 0.315, sheet.tone(1), body=True)
    sheet.shade(0.62, 0.55, 0.2, 0.28, 0.07, -0.18)  # the side away from the light
    sheet.shade(0.44, 0.36, 0.13, 0.1, 0.055, 0.14)  # the forehead
    sheet.shade(0.5, 0.8, 0.16, 0.035, 0.02, -0.25)  # under the chin
    for where in (-1, 1):
        sheet.shade(0.5 + where * EYES, 0.425, 0.06, 0.035, 0.02, -0.28)
    sheet.shine()
    sheet.oval(0.5, 0.235, 0.215, 0.085, sheet.look.hair)


def _eye(sheet: _Sheet, where: int, mood: str) -> None:
    x, happy = 0.5 + where * EYES, mood == "happy"
    wide, high, iris, lid = (0.047, 0.021, 0.441, 0.026) if happy else (0.055, 0.0205, 0.444, 0.013)
    sheet.oval(x, 0.44, wide, high, (236, 232, 228))
    sheet.oval(x, iris, 0.021, 0.022, (70, 48, 32))
    sheet.oval(x, iris, 0.01, 0.011, (12, 10, 10))
    if happy:
        sheet.oval(x - 0.007, 0.434, 0.005, 0.005, (250, 250, 250))
    else:
        sheet.arc(x, 0.45, 0.05, 0.03, 20, 160, sheet.tone(0.8), 1 / 160)  # a tired lower lid
    sheet.arc(x, 0.443, 0.05, lid, 195, 345, sheet.tone(0.42), 1 / 130)
    inner, middle, outer = (0.385, 0.362, 0.382) if happy else (0.365, 0.384, 0.366)
    brow = [(x - where * 0.055, inner), (x, middle), (x + where * 0.058, outer)]
    red, green, blue = (round(level * 0.7) for level in sheet.look.hair)
    sheet.line(brow, (red, green, blue), 1 / 55 if happy else 1 / 43)


def _nose(sheet: _Sheet) -> None:
    sheet.oval(0.5, 0.545, 0.034, 0.022, sheet.tone(0.84))
    sheet.oval(0.497, 0.533, 0.022, 0.018, sheet.tone(1.03))
    for where in (-1, 1):
        sheet.oval(0.5 + where * 0.018, 0.556, 0.008, 0.005, sheet.tone(0.45))


def _smile(sheet: _Sheet) -> None:
    """Open, with teeth."""
    for width, height, y, colour in (
        (0.115, 0.085, MOUTH - 0.003, (168, 70, 72)),
        (0.1, 0.065, MOUTH + 0.003, (60, 16, 20)),
        (0.096, 0.037, MOUTH + 0.005, (245, 242, 236)),
    ):
        turn = np.linspace(0, np.pi, 31)
        below = [(0.5 + width * float(np.cos(a)), y + height * float(np.sin(a))) for a in turn]
        above = [(0.5 + width * s, y + 0.22 * height * (1 - s * s)) for s in np.linspace(-1, 1, 11)[1:-1].tolist()]
        sheet.fill(below + above, colour)


def _frown(sheet: _Sheet) -> None:
    """Corners down, and the chin drawn up. The numbers are those that the shipped classifier takes for sad."""
    sheet.arc(0.5, 0.7, 0.113, 0.051, 220, 320, (150, 72, 70), 1 / 47)
    sheet.arc(0.5, 0.7, 0.122, 0.053, 217, 323, sheet.tone(0.4), 1 / 160)
    sheet.oval(0.5, 0.738, 0.044, 0.014, sheet.tone(0.97))
