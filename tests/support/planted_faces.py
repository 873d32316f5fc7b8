"""Detections and labels made by hand, so that every metric of them is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketsight.device.inference.detector import Detection
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from pocketsight.train.datasets.detection_sample import NO_BOXES
from pocketsight.train.evaluation.compact import FalsePositives
from pocketsight.train.evaluation.detector import DetectionResults
from pocketsight.train.evaluation.matching import ImageResult, collect_matches

Sides = tuple[float, float, float, float]


def square(left: float, top: float, side: float) -> Sides:
    return left, top, left + side, top + side


def seen(
    faces: Sequence[Sides],
    found: Sequence[tuple[Sides, float]],
    path: Path = Path("a.png"),
    source: str = "",
    masked: tuple[int, ...] = (),
    scale: float = 1.0,
    ignore: Sequence[Sides] = (),
) -> ImageResult:
    """An image with labeled faces, and the detections with their scores."""
    boxes, ignored = (np.array(some, np.float32).reshape(-1, 4) for some in (faces, ignore))
    best_first = sorted((Detection(Box(*box), score) for box, score in found), key=lambda face: -face.score)
    return ImageResult(
        path,
        boxes,
        ignored if len(ignored) else NO_BOXES,
        best_first,
        scale,
        source,
        masked,
    )


def looked(pictures: Sequence[ImageResult], frame: Image | None = None, smallest: float = 16.0) -> DetectionResults:
    """As `look` gives it, of frames that all look like `frame`."""
    canvas = np.full((240, 320, 3), 100, np.uint8) if frame is None else frame
    results = DetectionResults(list(pictures), [], FalsePositives(), [], (240, 320), smallest)
    for one in pictures:
        faces, wrong = collect_matches(one, canvas)
        results.faces.extend(faces)
        results.false_positives.extend(one, wrong)
    return results
