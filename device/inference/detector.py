"""Detect objects, such as faces, in a frame: letterbox, inference, decoding, NMS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pocketsight.device.inference.families import FAMILIES
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import WHOLE_FRAME, ModelSpec
from pocketsight.device.inference.nms import nms, nms_by_kind
from pocketsight.device.inference.placement import place
from pocketsight.device.inference.postprocess import decode, decode_kinds, decode_single
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.system.stage_timer import StageHook, no_timing
from pocketsight.device.vision.boxes import Box, Boxes
from pocketsight.device.vision.image import Image


@dataclass(frozen=True)
class Detection:
    """A detected object: its box in pixels, inside the frame, its score, 0..1, and its label, such as "face"."""

    box: Box
    score: float
    label: str = "face"


def detect(
    image: Image,
    detector: Model,
    end_stage: StageHook = no_timing,
    score_threshold: float | None = None,
    frame_size: tuple[int, int] | None = None,
) -> list[Detection]:
    """Detect objects in an RGB image (H, W, 3), uint8; returns them with the best score first.

    `frame_size` (height, width) is that of the frame, if `image` is a reduced copy of it; boxes are in its pixels.
    `score_threshold` (0..1) replaces those of the model, for example to draw a precision-recall curve. `end_stage` is
    called with the name of each stage when it ends.
    """
    spec = detector.spec
    if spec.family == WHOLE_FRAME:
        height, width = frame_size or image.shape[:2]
        end_stage("detect")
        return [Detection(Box(0, 0, width, height), 1.0, WHOLE_FRAME)]
    canvas, scale, offset = place(image, spec, detector.input_buffer)
    end_stage("preprocess")
    outputs = detector.infer(canvas)
    end_stage("detect")
    boxes, scores, labels = find_objects(outputs, spec, score_threshold)
    height, width = frame_size or image.shape[:2]
    scale /= round(width / image.shape[1])
    if spec.fit == "center":
        boxes -= offset
    detections = place_in_frame(boxes / np.float32(scale), scores, labels, (height, width))
    end_stage("postprocess")
    return detections


def find_objects(
    outputs: Mapping[str, QuantizedTensor], spec: ModelSpec, score_threshold: float | None = None
) -> tuple[Boxes, list[float], list[str]]:
    """Boxes (N, 4) in pixels of the input, scores and labels from the outputs of a detector, best score first.

    `score_threshold` (0..1) replaces those of `spec`.
    """
    threshold = spec.score_threshold if score_threshold is None else score_threshold
    if spec.family or len(spec.labels) > 1:
        thresholds = spec.label_thresholds if score_threshold is None else (score_threshold,) * len(spec.labels)
        boxes, scores, kinds = (
            FAMILIES[spec.family].decode(outputs, spec, thresholds)
            if spec.family
            else decode_kinds(outputs, spec.strides, thresholds)
        )
        keep = nms_by_kind(boxes, scores, kinds, spec.nms_iou_threshold)
        labels = [spec.labels[kind] for kind in kinds[keep].tolist()]
    else:
        boxes, scores = (
            decode(outputs, spec.strides, threshold)
            if spec.strides
            else decode_single(outputs, spec.input_size, threshold)
        )
        keep = nms(boxes, scores, spec.nms_iou_threshold)
        labels = [spec.labels[0]] * len(keep)
    return boxes[keep], scores[keep].tolist(), labels


def place_in_frame(
    boxes: Boxes, scores: Sequence[float], labels: Sequence[str], frame_size: tuple[int, int]
) -> list[Detection]:
    """The detections inside a frame of `frame_size` (height, width); `boxes` (N, 4) are in its pixels."""
    height, width = frame_size
    detections = []
    for sides, score, label in zip(boxes.tolist(), scores, labels, strict=True):
        box = Box(*sides).clip(width, height)
        if box.left < box.right and box.top < box.bottom:  # not entirely in the padding
            detections.append(Detection(box, score, label))
    return detections
