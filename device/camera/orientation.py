"""Which way is up: a detector finds upright faces best."""

from __future__ import annotations

from pocketsight.device.inference.detector import Detection, detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.turn import Turn

QUARTER_TURNS = 0, 90, 180, 270  # degrees clockwise
SURE_SCORE = 0.6  # of a face in a turned image: a weaker one may be no face
CLEAR_LEAD = 0.1  # by which it must exceed that of an upright face: faces upside down are found too, but less surely


def detect_in_turns(image: Image, detector: Model) -> dict[int, list[Detection]]:
    """The faces in an RGB image (H, W, 3), by the degrees by which it was turned clockwise."""
    return {degrees: detect(Turn(degrees).apply(image), detector) for degrees in QUARTER_TURNS}


def find_needed_rotation(faces: dict[int, list[Detection]]) -> int:
    """The degrees by which the image must be turned for its faces to be found, or found clearly better; else 0."""
    scores = {degrees: max((face.score for face in found), default=0.0) for degrees, found in faces.items()}
    best = max(QUARTER_TURNS, key=lambda degrees: scores[degrees])
    return best if scores[best] >= SURE_SCORE and scores[0] < scores[best] - CLEAR_LEAD else 0


def describe_rotation(degrees: int) -> str:
    """What is wrong with an image that must be turned."""
    return f"faces are found only in the image turned by {degrees} degrees, or much better there"
