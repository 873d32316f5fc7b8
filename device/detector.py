"""From a frame to faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketsight.device.boxes import Box, decode, decode_one, suppress
from pocketsight.device.image import Image, fit
from pocketsight.device.interpreter import Loaded
from pocketsight.device.timing import Lap, no_lap


@dataclass(frozen=True)
class Face:
    """One face. Its box lies within the frame."""

    box: Box  # pixels of the frame
    score: float  # 0..1


def detect(image: Image, detector: Loaded, lap: Lap = no_lap, threshold: float | None = None) -> list[Face]:
    """Find faces in an RGB image (H, W, 3), best first. `threshold` replaces the model's own, to draw a whole curve."""
    spec = detector.spec
    canvas, scale = fit(image, spec.size, detector.canvas)
    lap("fit")
    outputs = detector.model(canvas)
    lap("detect")
    least = spec.threshold if threshold is None else threshold
    boxes, scores = decode(outputs, spec.strides, least) if spec.strides else decode_one(outputs, spec.size, least)
    keep = suppress(boxes, scores, spec.overlap)
    height, width = image.shape[:2]
    faces = []
    for sides, score in zip((boxes[keep] / np.float32(scale)).tolist(), scores[keep].tolist(), strict=True):
        left, top, right, bottom = sides  # plain numbers: they are few
        box = Box(max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
        if box.left < box.right and box.top < box.bottom:  # not wholly in the padding
            faces.append(Face(box, score))
    lap("decode")
    return faces
