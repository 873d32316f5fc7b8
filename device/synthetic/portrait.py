"""A drawn person whom the shipped models take for one: for trying everything without a camera or a photograph."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.image import Image

Color = tuple[int, int, int]
Mask = NDArray[np.uint8]  # (side, side), 255 where the person is

CANVAS_SIZE, SUBPIXEL_BITS = 512, 4  # pixels that are drawn, and OpenCV's fractional bits
FACE_BOX = 0.265, 0.165, 0.735, 0.795  # left, top, right, bottom of the face in the portrait
EYE_OFFSET, MOUTH_Y = 0.1, 0.62  # from the middle, and down


@dataclass(frozen=True)
class Appearance:
    """Whom to draw."""

    skin: Color
    hair: Color
    shirt: Color


APPEARANCES = (
    Appearance((224, 172, 135), (60, 40, 25), (60, 90, 140)),
    Appearance((240, 200, 175), (150, 110, 60), (70, 120, 80)),
)


class _Canvas:
    """Where a portrait is drawn; lengths are shares of its side."""

    def __init__(self, appearance: Appearance) -> None:
        self.image: Image = np.zeros((CANVAS_SIZE, CANVAS_SIZE, 3), np.uint8)
        self.mask: Mask = np.zeros((CANVAS_SIZE, CANVAS_SIZE), np.uint8)
        self.lighting = np.ones((CANVAS_SIZE, CANVAS_SIZE), np.float32)
        self.appearance = appearance

    def skin_tone(self, factor: float) -> Color:
        """The skin, darker or lighter."""
        red, green, blue = (min(255, round(level * factor)) for level in self.appearance.skin)
        return red, green, blue

    def draw_ellipse(self, x: float, y: float, w: float, h: float, color: Color, in_mask: bool = False) -> None:
        """Filled; `body` belongs to the person's outline."""
        self.draw_arc(x, y, w, h, 0, 360, color, -1 / CANVAS_SIZE)
        if in_mask:
            cv2.ellipse(
                self.mask, _to_subpixels(x, y), _to_subpixels(w, h), 0, 0, 360, 255, -1, cv2.LINE_AA, SUBPIXEL_BITS
            )

    def draw_arc(
        self, x: float, y: float, w: float, h: float, start: float, end: float, color: Color, thickness: float
    ) -> None:
        """A part of an ellipse's edge, from `start` to `end` degrees."""
        line = max(1, round(thickness * CANVAS_SIZE)) if thickness > 0 else -1
        cv2.ellipse(
            self.image, _to_subpixels(x, y), _to_subpixels(w, h), 0, start, end, color, line, cv2.LINE_AA, SUBPIXEL_BITS
        )

    def draw_line(self, points: list[tuple[float, float]], color: Color, thickness: float) -> None:
        """Through `points`."""
        path = np.array([_to_subpixels(*point) for point in points], np.int32)
        cv2.polylines(
            self.image, [path], False, color, max(1, round(thickness * CANVAS_SIZE)), cv2.LINE_AA, SUBPIXEL_BITS
        )

    def fill_polygon(self, points: list[tuple[float, float]], color: Color) -> None:
        """The area within `points`."""
        cv2.fillPoly(
            self.image, [np.array([_to_subpixels(*p) for p in points], np.int32)], color, cv2.LINE_AA, SUBPIXEL_BITS
        )

    def add_shading(self, x: float, y: float, w: float, h: float, softness: float, strength: float) -> None:
        """Light (`much` > 0) or shadow on what was drawn so far, with soft edges."""
        spot = np.zeros((CANVAS_SIZE, CANVAS_SIZE), np.float32)
        cv2.ellipse(spot, _to_subpixels(x, y), _to_subpixels(w, h), 0, 0, 360, 1.0, -1, cv2.LINE_AA, SUBPIXEL_BITS)
        self.lighting += np.float32(strength) * cv2.GaussianBlur(spot, (0, 0), softness * CANVAS_SIZE)

    def apply_lighting(self) -> None:
        """Apply the light."""
        self.image = np.clip(self.image * self.lighting[..., None], 0, 255).astype(np.uint8)


def _to_subpixels(x: float, y: float) -> tuple[int, int]:
    return round(x * CANVAS_SIZE * 2**SUBPIXEL_BITS), round(y * CANVAS_SIZE * 2**SUBPIXEL_BITS)


def draw_portrait(expression: str, appearance: Appearance, size: int) -> tuple[Image, Mask]:
    """A person, happy or sad, as RGB (side, side, 3), and where it is in it (side, side)."""
    sheet = _Canvas(appearance)
    _draw_head(sheet)
    for where in (-1, 1):
        _draw_eye(sheet, where, expression)
    _draw_nose(sheet)
    (_draw_smile if expression == "happy" else _draw_frown)(sheet)
    image = cv2.resize(cv2.GaussianBlur(sheet.image, (0, 0), 1.0), (size, size), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(sheet.mask, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8), np.where(mask > 127, 255, 0).astype(np.uint8)


def _draw_head(canvas: _Canvas) -> None:
    canvas.draw_ellipse(0.5, 0.42, 0.285, 0.34, canvas.appearance.hair, in_mask=True)
    canvas.draw_ellipse(0.5, 1.04, 0.42, 0.22, canvas.appearance.shirt, in_mask=True)
    canvas.draw_ellipse(0.5, 0.83, 0.115, 0.14, canvas.skin_tone(0.78), in_mask=True)
    for where in (-1, 1):
        canvas.draw_ellipse(0.5 + where * 0.245, 0.5, 0.035, 0.065, canvas.skin_tone(0.85), in_mask=True)
    canvas.draw_ellipse(0.5, 0.48, 0.235, 0.315, canvas.skin_tone(1), in_mask=True)
    canvas.add_shading(0.62, 0.55, 0.2, 0.28, 0.07, -0.18)  # the side away from the light
    canvas.add_shading(0.44, 0.36, 0.13, 0.1, 0.055, 0.14)  # the forehead
    canvas.add_shading(0.5, 0.8, 0.16, 0.035, 0.02, -0.25)  # under the chin
    for where in (-1, 1):
        canvas.add_shading(0.5 + where * EYE_OFFSET, 0.425, 0.06, 0.035, 0.02, -0.28)
    canvas.apply_lighting()
    canvas.draw_ellipse(0.5, 0.235, 0.215, 0.085, canvas.appearance.hair)


def _draw_eye(canvas: _Canvas, side: int, expression: str) -> None:
    x, happy = 0.5 + side * EYE_OFFSET, expression == "happy"
    wide, high, iris, lid = (0.047, 0.021, 0.441, 0.026) if happy else (0.055, 0.0205, 0.444, 0.013)
    canvas.draw_ellipse(x, 0.44, wide, high, (236, 232, 228))
    canvas.draw_ellipse(x, iris, 0.021, 0.022, (70, 48, 32))
    canvas.draw_ellipse(x, iris, 0.01, 0.011, (12, 10, 10))
    if happy:
        canvas.draw_ellipse(x - 0.007, 0.434, 0.005, 0.005, (250, 250, 250))
    else:
        canvas.draw_arc(x, 0.45, 0.05, 0.03, 20, 160, canvas.skin_tone(0.8), 1 / 160)  # a tired lower lid
    canvas.draw_arc(x, 0.443, 0.05, lid, 195, 345, canvas.skin_tone(0.42), 1 / 130)
    inner, middle, outer = (0.385, 0.362, 0.382) if happy else (0.365, 0.384, 0.366)
    brow = [(x - side * 0.055, inner), (x, middle), (x + side * 0.058, outer)]
    red, green, blue = (round(level * 0.7) for level in canvas.appearance.hair)
    canvas.draw_line(brow, (red, green, blue), 1 / 55 if happy else 1 / 43)


def _draw_nose(canvas: _Canvas) -> None:
    canvas.draw_ellipse(0.5, 0.545, 0.034, 0.022, canvas.skin_tone(0.84))
    canvas.draw_ellipse(0.497, 0.533, 0.022, 0.018, canvas.skin_tone(1.03))
    for where in (-1, 1):
        canvas.draw_ellipse(0.5 + where * 0.018, 0.556, 0.008, 0.005, canvas.skin_tone(0.45))


def _draw_smile(canvas: _Canvas) -> None:
    """Open, with teeth."""
    for width, height, y, colour in (
        (0.115, 0.085, MOUTH_Y - 0.003, (168, 70, 72)),
        (0.1, 0.065, MOUTH_Y + 0.003, (60, 16, 20)),
        (0.096, 0.037, MOUTH_Y + 0.005, (245, 242, 236)),
    ):
        turn = np.linspace(0, np.pi, 31)
        below = [(0.5 + width * float(np.cos(a)), y + height * float(np.sin(a))) for a in turn]
        above = [(0.5 + width * s, y + 0.22 * height * (1 - s * s)) for s in np.linspace(-1, 1, 11)[1:-1].tolist()]
        canvas.fill_polygon(below + above, colour)


def _draw_frown(canvas: _Canvas) -> None:
    """Corners down, and the chin drawn up. The numbers are those that the shipped classifier takes for sad."""
    canvas.draw_arc(0.5, 0.7, 0.113, 0.051, 220, 320, (150, 72, 70), 1 / 47)
    canvas.draw_arc(0.5, 0.7, 0.122, 0.053, 217, 323, canvas.skin_tone(0.4), 1 / 160)
    canvas.draw_ellipse(0.5, 0.738, 0.044, 0.014, canvas.skin_tone(0.97))
