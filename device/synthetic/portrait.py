"""A drawn person that the shipped models recognize, for the synthetic camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.image import Image

Color = tuple[int, int, int]
"""RGB, 0..255."""

Mask = NDArray[np.uint8]
"""(size, size): 255 inside the outline of the person, else 0."""

# Side of the canvas in pixels, and the fractional bits of OpenCV's coordinates.
CANVAS_SIZE, SUBPIXEL_BITS = 512, 4

# Left, top, right, bottom of the face, as fractions of the portrait.
FACE_BOX = 0.265, 0.165, 0.735, 0.795

# Distance of the eyes from the vertical center line, and height of the mouth, as fractions of the portrait.
EYE_OFFSET, MOUTH_Y = 0.1, 0.62


@dataclass(frozen=True)
class Appearance:
    """The colors of a person."""

    skin: Color
    hair: Color
    shirt: Color


APPEARANCES = (
    Appearance((224, 172, 135), (60, 40, 25), (60, 90, 140)),
    Appearance((240, 200, 175), (150, 110, 60), (70, 120, 80)),
)


class _Canvas:
    """A square canvas. Coordinates and lengths are fractions of its side."""

    def __init__(self, appearance: Appearance) -> None:
        self.image: Image = np.zeros((CANVAS_SIZE, CANVAS_SIZE, 3), np.uint8)
        self.mask: Mask = np.zeros((CANVAS_SIZE, CANVAS_SIZE), np.uint8)
        self.lighting = np.ones((CANVAS_SIZE, CANVAS_SIZE), np.float32)
        self.appearance = appearance

    def skin_tone(self, factor: float) -> Color:
        """The color of the skin, made darker (`factor` < 1) or lighter."""
        red, green, blue = (min(255, round(level * factor)) for level in self.appearance.skin)
        return red, green, blue

    def draw_ellipse(self, x: float, y: float, w: float, h: float, color: Color, in_mask: bool = False) -> None:
        """Draw a filled ellipse with half axes `w` and `h`; with `in_mask` it is part of the outline of the person."""
        self.draw_arc(x, y, w, h, 0, 360, color, -1 / CANVAS_SIZE)
        if in_mask:
            cv2.ellipse(
                self.mask, _to_subpixels(x, y), _to_subpixels(w, h), 0, 0, 360, 255, -1, cv2.LINE_AA, SUBPIXEL_BITS
            )

    def draw_arc(
        self, x: float, y: float, w: float, h: float, start: float, end: float, color: Color, thickness: float
    ) -> None:
        """Draw a part of the edge of an ellipse, from `start` to `end` degrees."""
        line = max(1, round(thickness * CANVAS_SIZE)) if thickness > 0 else -1
        cv2.ellipse(
            self.image, _to_subpixels(x, y), _to_subpixels(w, h), 0, start, end, color, line, cv2.LINE_AA, SUBPIXEL_BITS
        )

    def draw_line(self, points: list[tuple[float, float]], color: Color, thickness: float) -> None:
        """Draw a line through `points`."""
        path = np.array([_to_subpixels(*point) for point in points], np.int32)
        cv2.polylines(
            self.image, [path], False, color, max(1, round(thickness * CANVAS_SIZE)), cv2.LINE_AA, SUBPIXEL_BITS
        )

    def fill_polygon(self, points: list[tuple[float, float]], color: Color) -> None:
        """Fill the area inside `points`."""
        cv2.fillPoly(
            self.image, [np.array([_to_subpixels(*p) for p in points], np.int32)], color, cv2.LINE_AA, SUBPIXEL_BITS
        )

    def add_shading(self, x: float, y: float, w: float, h: float, softness: float, strength: float) -> None:
        """Add light (`strength` > 0) or shadow with soft edges, for the next `apply_lighting`."""
        area = np.zeros((CANVAS_SIZE, CANVAS_SIZE), np.float32)
        cv2.ellipse(area, _to_subpixels(x, y), _to_subpixels(w, h), 0, 0, 360, 1.0, -1, cv2.LINE_AA, SUBPIXEL_BITS)
        self.lighting += np.float32(strength) * cv2.GaussianBlur(area, (0, 0), softness * CANVAS_SIZE)

    def apply_lighting(self) -> None:
        """Apply light and shadow to everything drawn so far."""
        self.image = np.clip(self.image * self.lighting[..., None], 0, 255).astype(np.uint8)


def _to_subpixels(x: float, y: float) -> tuple[int, int]:
    return round(x * CANVAS_SIZE * 2**SUBPIXEL_BITS), round(y * CANVAS_SIZE * 2**SUBPIXEL_BITS)


def draw_portrait(expression: str, appearance: Appearance, size: int) -> tuple[Image, Mask]:
    """Draw a person, "happy" or "sad", as RGB (size, size, 3), and the mask of its outline (size, size)."""
    canvas = _Canvas(appearance)
    _draw_head(canvas)
    for side in (-1, 1):
        _draw_eye(canvas, side, expression)
    _draw_nose(canvas)
    (_draw_smile if expression == "happy" else _draw_frown)(canvas)
    image = cv2.resize(cv2.GaussianBlur(canvas.image, (0, 0), 1.0), (size, size), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(canvas.mask, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8), np.where(mask > 127, 255, 0).astype(np.uint8)


def _draw_head(canvas: _Canvas) -> None:
    canvas.draw_ellipse(0.5, 0.42, 0.285, 0.34, canvas.appearance.hair, in_mask=True)
    canvas.draw_ellipse(0.5, 1.04, 0.42, 0.22, canvas.appearance.shirt, in_mask=True)
    canvas.draw_ellipse(0.5, 0.83, 0.115, 0.14, canvas.skin_tone(0.78), in_mask=True)
    for side in (-1, 1):
        canvas.draw_ellipse(0.5 + side * 0.245, 0.5, 0.035, 0.065, canvas.skin_tone(0.85), in_mask=True)
    canvas.draw_ellipse(0.5, 0.48, 0.235, 0.315, canvas.skin_tone(1), in_mask=True)
    canvas.add_shading(0.62, 0.55, 0.2, 0.28, 0.07, -0.18)  # the side away from the light
    canvas.add_shading(0.44, 0.36, 0.13, 0.1, 0.055, 0.14)  # the forehead
    canvas.add_shading(0.5, 0.8, 0.16, 0.035, 0.02, -0.25)  # under the chin
    for side in (-1, 1):
        canvas.add_shading(0.5 + side * EYE_OFFSET, 0.425, 0.06, 0.035, 0.02, -0.28)
    canvas.apply_lighting()
    canvas.draw_ellipse(0.5, 0.235, 0.215, 0.085, canvas.appearance.hair)


def _draw_eye(canvas: _Canvas, side: int, expression: str) -> None:
    x, happy = 0.5 + side * EYE_OFFSET, expression == "happy"
    width, height, iris, lid = (0.047, 0.021, 0.441, 0.026) if happy else (0.055, 0.0205, 0.444, 0.013)
    canvas.draw_ellipse(x, 0.44, width, height, (236, 232, 228))
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
    for side in (-1, 1):
        canvas.draw_ellipse(0.5 + side * 0.018, 0.556, 0.008, 0.005, canvas.skin_tone(0.45))


def _draw_smile(canvas: _Canvas) -> None:
    """Draw an open mouth with teeth."""
    for width, height, y, color in (
        (0.115, 0.085, MOUTH_Y - 0.003, (168, 70, 72)),
        (0.1, 0.065, MOUTH_Y + 0.003, (60, 16, 20)),
        (0.096, 0.037, MOUTH_Y + 0.005, (245, 242, 236)),
    ):
        turn = np.linspace(0, np.pi, 31)
        below = [(0.5 + width * float(np.cos(a)), y + height * float(np.sin(a))) for a in turn]
        above = [(0.5 + width * s, y + 0.22 * height * (1 - s * s)) for s in np.linspace(-1, 1, 11)[1:-1].tolist()]
        canvas.fill_polygon(below + above, color)


def _draw_frown(canvas: _Canvas) -> None:
    """Draw a mouth with its corners down, and the chin drawn up, so that the shipped classifier finds it sad."""
    canvas.draw_arc(0.5, 0.7, 0.113, 0.051, 220, 320, (150, 72, 70), 1 / 47)
    canvas.draw_arc(0.5, 0.7, 0.122, 0.053, 217, 323, canvas.skin_tone(0.4), 1 / 160)
    canvas.draw_ellipse(0.5, 0.738, 0.044, 0.014, canvas.skin_tone(0.97))
