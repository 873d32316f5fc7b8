"""Boxes and labels drawn into a frame, for people."""

from __future__ import annotations

import cv2
import numpy as np

from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.results import FrameResult
from pocketsight.device.vision.image import Image

LABEL_COLORS = (60, 220, 90), (80, 150, 255), (255, 170, 40), (230, 90, 220), (60, 220, 220)  # RGB, one a label
GRAY = 190, 190, 190


def annotate(image: Image, result: FrameResult, labels: tuple[str, ...]) -> Image:
    """A copy of the RGB frame with each face's box, label and score; grey where the label is unsure."""
    canvas = image.copy()
    unit = max(1, round(max(image.shape[:2]) / 320))
    for seen in result.faces:
        sentiment = seen.classification
        sure = sentiment.label != UNSURE
        colour = LABEL_COLORS[labels.index(sentiment.label) % len(LABEL_COLORS)] if sentiment.label in labels else GRAY
        left, top, right, bottom = (round(side) for side in seen.box)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, unit)
        text = f"{sentiment.label} {sentiment.score:.2f}" if sure else sentiment.label
        _draw_label(canvas, text, (left, top), colour, unit)
    return canvas


def _draw_label(canvas: Image, text: str, corner: tuple[int, int], color: tuple[int, int, int], unit: int) -> None:
    """A filled label above `corner`, moved inside the picture."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.4 * unit
    (width, height), below = cv2.getTextSize(text, font, scale, unit)
    x = int(np.clip(corner[0], 0, max(0, canvas.shape[1] - width)))
    y = max(corner[1], height + below)
    cv2.rectangle(canvas, (x, y - height - below), (x + width, y), color, -1)
    cv2.putText(canvas, text, (x, y - below // 2), font, scale, (0, 0, 0), unit, cv2.LINE_AA)
