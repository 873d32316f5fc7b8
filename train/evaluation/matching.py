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
FalsePositiveRows = NDArray[np.float32]
"""(F, 4): the index of the detection, IoU with the nearest labeled box, brightness and sharpness."""


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
    truth_labels: tuple[str, ...] = ()  # of the boxes, where the detector finds several kinds


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

    Better detections choose first, as in COCO's evaluation, so the matches hold at any threshold. Where there are
    several kinds, the label of the detection must be right.
    """
    boxes = np.array([face.box for face in result.detections], np.float32).reshape(-1, 4)
    overlaps = iou_matrix(boxes, result.truth_boxes)
    if result.truth_labels:
        found = np.array([face.label for face in result.detections], object)
        overlaps[found[:, None] != np.array(result.truth_labels, object)] = 0
    ignored = np.any(coverage_matrix(boxes, result.ignore_boxes) >= MATCH_IOU, axis=-1)
    chosen = [(IGNORED_DETECTION if ignore else FALSE_POSITIVE, 0.0) for ignore in ignored]
    for n in np.flatnonzero(overlaps.max(-1, initial=0) >= MATCH_IOU):
        best = int(overlaps[n].argmax())
        if overlaps[n, best] >= MATCH_IOU:
            chosen[n] = (best, float(overlaps[n, best]))
            overlaps[:, best] = 0  # a face is matched once
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


def collect_matches(result: ImageResult, frame: Image) -> tuple[list[Match], FalsePositiveRows]:
    """The faces of an image, and its false positives. `frame` (H, W, 3) has its pixels."""
    gray = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    chosen = match_detections(result)
    by_index = {n: (result.detections[row], overlap) for row, (n, overlap) in enumerate(chosen) if n >= 0}
    mask_states = result.mask_states or (-1,) * len(result.truth_boxes)
    faces = []
    for n, (box, look) in enumerate(zip(result.truth_boxes, measure_appearance(gray, result.truth_boxes), strict=True)):
        face, overlap = by_index.get(n, (None, 0.0))
        faces.append(Match(result, box, face, overlap, RegionAppearance(*look.tolist()), mask_states[n]))
    numbers = np.array([row for row, (n, _) in enumerate(chosen) if n == FALSE_POSITIVE], np.intp)
    detections = list(result.detections)
    boxes = np.array([detections[n].box for n in numbers], np.float32).reshape(-1, 4)
    overlaps = iou_matrix(boxes, np.concatenate([result.truth_boxes, result.ignore_boxes])).max(-1, initial=0)
    rows = np.column_stack([numbers, overlaps, measure_appearance(gray, boxes)])
    return faces, rows.astype(np.float32)


def measure_appearance(gray: NDArray[np.uint8], boxes: Boxes) -> NDArray[np.float64]:
    """(N, 2): brightness and sharpness, as in RegionAppearance, of boxes (N, 4) of a grayscale frame (H, W).

    All patches are filtered at once: a detector has hundreds of false positives in an image, most with a low score.
    """
    height, width = gray.shape
    low = np.clip(np.floor(boxes[:, :2]), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(boxes[:, 2:]), low + 1, (width, height)).astype(int)
    patches = np.empty((len(boxes), PATCH_SIZE, PATCH_SIZE), np.int64)
    for patch, (left, top), (right, bottom) in zip(patches, low.tolist(), high.tolist(), strict=True):
        patch[:] = resize(gray[top:bottom, left:right], (PATCH_SIZE, PATCH_SIZE))
    sums = cv2.integral(gray)
    corners = sums[high[:, 1], high[:, 0]] - sums[low[:, 1], high[:, 0]] - sums[high[:, 1], low[:, 0]]
    brightness = (corners + sums[low[:, 1], low[:, 0]]) / (high - low).prod(-1)
    padded = np.pad(patches, ((0, 0), (1, 1), (1, 1)), "reflect")
    edges = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:] - 4 * patches
    return np.column_stack([brightness, edges.var((1, 2))])
