"""Match detections with labeled faces, image by image: true positives, false positives, missed faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.detector import Detection
from pocketsight.device.vision.boxes import Boxes, coverage_matrix, iou_matrix
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.resize import resize

MATCH_IOU = 0.5  # lowest intersection over union of a true positive
# Lowest intersection over union at which a false positive is a face with a loose box (as in TIDE, ECCV 2020).
NEAR_MISS_IOU = 0.1
FALSE_POSITIVE, IGNORED_DETECTION = -1, -2  # instead of the index of a face
# px: faces are scaled to the size of the smallest before their sharpness is measured, or it would depend on their size.
PATCH_SIZE = 16


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One image after detection, without its pixels. All boxes are in pixels of the letterboxed frame."""

    path: Path
    truth_boxes: Boxes  # faces that count
    ignore_boxes: Boxes  # faces that are too small, and regions to ignore
    detections: Sequence[Detection]  # scores from MIN_SCORE, best first
    scale: float = 1.0  # pixels of the frame = pixels of the file * scale
    source: str = ""
    mask_states: tuple[int, ...] = field(default=())  # as in DetectionSample, of the faces that count


class RegionAppearance(NamedTuple):
    """How a region of a frame looks, in grayscale."""

    brightness: float  # mean, 0..255
    sharpness: float  # variance of the Laplacian at PATCH_SIZE px; low: blurred, or without contrast


@dataclass(frozen=True, slots=True)
class Match:
    """A labeled face, detected or missed, or a false positive."""

    image_result: ImageResult
    truth_box: Boxes | None  # (4,); None: a false positive
    detection: Detection | None  # None: no detection from MIN_SCORE matches this face
    iou: float  # intersection over union of both; of a false positive: with the nearest labeled box
    appearance: RegionAppearance
    mask_state: int = -1

    @property
    def score(self) -> float:
        """Score of the detection; 0 without one."""
        return self.detection.score if self.detection else 0.0

    @property
    def box(self) -> Boxes:
        """The labeled box (4,), or that of the false positive."""
        if self.truth_box is not None:
            return self.truth_box
        return np.array(self.detection.box if self.detection else (0,) * 4, np.float32)

    @property
    def size(self) -> float:
        """Longer side of the box, px of the frame."""
        return float((self.box[2:] - self.box[:2]).max())


def match_detections(result: ImageResult) -> list[tuple[int, float]]:
    """For each detection the index of its face, FALSE_POSITIVE or IGNORED_DETECTION, and the IoU.

    Better detections choose first, as in COCO's evaluation, so the matches hold at any threshold.
    """
    boxes = np.array([face.box for face in result.detections], np.float32).reshape(-1, 4)
    overlaps = iou_matrix(boxes, result.truth_boxes)
    ignored = np.any(coverage_matrix(boxes, result.ignore_boxes) >= MATCH_IOU, axis=-1)
    chosen = []
    for row, ignore in zip(overlaps, ignored, strict=True):
        best = int(row.argmax()) if len(row) else -1
        if best >= 0 and row[best] >= MATCH_IOU:
            chosen.append((best, float(row[best])))
            overlaps[:, best] = 0  # a face is matched once
        else:
            chosen.append((IGNORED_DETECTION if ignore else FALSE_POSITIVE, 0.0))
    return chosen


def partition_detections(result: ImageResult, threshold: float) -> tuple[list[Detection], list[Detection], list[int]]:
    """True positives, false positives and indexes of missed faces, of the detections that reach the threshold."""
    pairs = [
        (face, n)
        for face, (n, _) in zip(result.detections, match_detections(result), strict=True)
        if face.score >= threshold
    ]
    missed = set(range(len(result.truth_boxes))) - {n for _, n in pairs}
    return [f for f, n in pairs if n >= 0], [f for f, n in pairs if n == FALSE_POSITIVE], sorted(missed)


def collect_matches(result: ImageResult, frame: Image) -> tuple[list[Match], list[Match]]:
    """The faces of an image, and its false positives. `frame` (H, W, 3) has its pixels."""
    gray = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    pairs = list(zip(result.detections, match_detections(result), strict=True))
    by_index: dict[int, tuple[Detection | None, float]] = {n: (face, overlap) for face, (n, overlap) in pairs if n >= 0}
    mask_states = result.mask_states or (-1,) * len(result.truth_boxes)
    faces = []
    for n, box in enumerate(result.truth_boxes):
        face, overlap = by_index.get(n, (None, 0.0))
        faces.append(Match(result, box, face, overlap, measure_appearance(gray, box), mask_states[n]))
    false_positives = []
    for face, (n, _) in pairs:
        if n == FALSE_POSITIVE:
            box = np.array(face.box, np.float32)
            overlap = float(
                iou_matrix(box[None], np.concatenate([result.truth_boxes, result.ignore_boxes])).max(initial=0)
            )
            false_positives.append(Match(result, None, face, overlap, measure_appearance(gray, box)))
    return faces, false_positives


def measure_appearance(gray: NDArray[np.uint8], box: Boxes) -> RegionAppearance:
    """Brightness and sharpness of a box (4,) of a grayscale frame (H, W)."""
    height, width = gray.shape
    left, top = np.clip(np.floor(box[:2]), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(box[2:]), (left + 1, top + 1), (width, height)).astype(int)
    region = gray[top:bottom, left:right]
    sharpness = cv2.Laplacian(resize(region, (PATCH_SIZE, PATCH_SIZE)), cv2.CV_64F).var()
    return RegionAppearance(float(region.mean()), float(sharpness))
