"""Draw boxes and labels into a frame."""

from __future__ import annotations

import cv2
import numpy as np

from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.results import FrameResult
from pocketsight.device.system.surrogates import replace_surrogates
from pocketsight.device.vision.image import Image

# RGB, one for each label in the order of the model.
LABEL_COLORS = (60, 220, 90), (80, 150, 255), (255, 170, 40), (230, 90, 220), (60, 220, 220)
GRAY = 190, 190, 190


def annotate(image: Image, result: FrameResult, labels: tuple[str, ...]) -> Image:
    """A copy of an RGB frame (H, W, 3) with the box, label and score of each face.

    `labels` are the reported labels of the classifier; their order chooses the colors. A face whose label is "unsure"
    is gray and has no score.
    """
    canvas = image.copy()
    thickness = max(1, round(max(image.shape[:2]) / 320))
    for face in result.faces:
        color = LABEL_COLORS[labels.index(face.label) % len(LABEL_COLORS)] if face.label in labels else GRAY
        left, top, right, bottom = (round(side) for side in face.box)
        cv2.rectangle(canvas, (left, top), (right, bottom), color, thickness)
        text = face.label if face.label == UNSURE else f"{face.label} {face.label_score:.2f}"
        _draw_label(canvas, text, (left, top), color, thickness)
    return canvas


def _draw_label(canvas: Image, text: str, corner: tuple[int, int], color: tuple[int, int, int], thickness: int) -> None:
    """Draw a filled label above `corner` (x, y), moved so that it is inside the image."""
    font, scale, text = cv2.FONT_HERSHEY_SIMPLEX, 0.4 * thickness, replace_surrogates(text)
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    x = int(np.clip(corner[0], 0, max(0, canvas.shape[1] - width)))
    y = max(corner[1], height + below)
    cv2.rectangle(canvas, (x, y - height - below), (x + width, y), color, -1)
    cv2.putText(canvas, text, (x, y - below // 2), font, scale, (0, 0, 0), thickness, cv2.LINE_AA)
