"""From a frame to faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.nms import nms
from pocketsight.device.inference.postprocess import decode, decode_single
from pocketsight.device.system.stage_timer import StageHook, no_timing
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox


@dataclass(frozen=True)
class Face:
    """One face. Its box lies within the frame."""

    box: Box  # pixels of the frame
    score: float  # 0..1


def detect(
    image: Image, detector: Model, end_stage: StageHook = no_timing, score_threshold: float | None = None
) -> list[Face]:
    """Find faces in an RGB image (H, W, 3), best first. `threshold` replaces the model's own, to draw a whole curve."""
    spec = detector.spec
    canvas, scale = letterbox(image, spec.input_size, detector.input_buffer)
    end_stage("fit")
    outputs = detector.infer(canvas)
    end_stage("detect")
    least = spec.score_threshold if score_threshold is None else score_threshold
    boxes, scores = (
        decode(outputs, spec.strides, least) if spec.strides else decode_single(outputs, spec.input_size, least)
    )
    keep = nms(boxes, scores, spec.nms_iou_threshold)
    height, width = image.shape[:2]
    faces = []
    for sides, score in zip((boxes[keep] / np.float32(scale)).tolist(), scores[keep].tolist(), strict=True):
        left, top, right, bottom = sides  # plain numbers: they are few
        box = Box(max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
        if box.left < box.right and box.top < box.bottom:  # not wholly in the padding
            faces.append(Face(box, score))
    end_stage("decode")
    return faces
