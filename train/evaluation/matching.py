"""What a detector found beside what is labelled, place by place: every figure and every gallery is made from this."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.detector import Face
from pocketsight.device.vision.boxes import Boxes, coverage_matrix, iou_matrix
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.resize import resize

MATCH_IOU = 0.5  # intersection over union from which a detection has found a face
NEAR_MISS_IOU = (
    0.1  # intersection over union from which a false alarm is a face whose box is off (as in TIDE, ECCV 2020)
)
FALSE_POSITIVE, IGNORED_DETECTION = -1, -2  # instead of a face's number: a false alarm; a detection that does not count
PATCH_SIZE = (
    16  # px: all faces are brought to the size of the smallest before their detail is measured, or size would decide
)


@dataclass(frozen=True)
class ImageResult:
    """One picture after detection. All boxes are in pixels of the fitted frame."""

    path: Path
    frame: Image
    truth_boxes: Boxes  # faces that count
    ignore_boxes: Boxes  # faces too small, and regions to ignore
    detections: list[Face]  # scores from FLOOR, best first
    scale: float = 1.0  # pixels of the frame = pixels of the file * scale
    source: str = ""
    mask_states: tuple[int, ...] = field(default=())  # as in Example, of the faces that count


class RegionAppearance(NamedTuple):
    """How a region of a frame looks, in grey."""

    brightness: float  # mean, 0..255
    sharpness: float  # variance of the Laplacian at PATCH x PATCH pixels; low: blurred, or without contrast


@dataclass(frozen=True, slots=True)
class Match:
    """A labelled face, found or not, or a false alarm."""

    image_result: ImageResult
    truth_box: Boxes | None  # (4,); None: a false alarm
    detection: Face | None  # None: no detection from FLOOR found this face
    iou: float  # intersection over union of both; of a false alarm: with whatever is labelled there
    appearance: RegionAppearance
    mask_state: int = -1

    @property
    def score(self) -> float:
        """Of the detection; 0 where there is none."""
        return self.detection.score if self.detection else 0.0

    @property
    def box(self) -> Boxes:
        """The face as labelled, or the false alarm."""
        return (
            self.truth_box
            if self.truth_box is not None
            else np.array(self.detection.box if self.detection else (0,) * 4, np.float32)
        )

    @property
    def size(self) -> float:
        """The longer side of the box, px of the frame."""
        return float((self.box[2:] - self.box[:2]).max())


def match_detections(result: ImageResult) -> list[tuple[int, float]]:
    """For each detection the number of the face that it found, ALARM or IGNORED, and the overlap.

    The best detection chooses first, as in COCO's evaluation; so what is true from FLOOR is true from any score.
    """
    found = np.array([face.box for face in result.detections], np.float32).reshape(-1, 4)
    overlaps = iou_matrix(found, result.truth_boxes)
    ignored = np.any(coverage_matrix(found, result.ignore_boxes) >= MATCH_IOU, axis=-1)
    chosen = []
    for row, ignore in zip(overlaps, ignored, strict=True):
        best = int(row.argmax()) if len(row) else -1
        if best >= 0 and row[best] >= MATCH_IOU:
            chosen.append((best, float(row[best])))
            overlaps[:, best] = 0  # a face is found once
        else:
            chosen.append((IGNORED_DETECTION if ignore else FALSE_POSITIVE, 0.0))
    return chosen


def partition_detections(result: ImageResult, threshold: float) -> tuple[list[Face], list[Face], list[int]]:
    """Right detections, false alarms, and numbers of missed faces, from the detections that count."""
    pairs = [
        (f, n) for f, (n, _) in zip(result.detections, match_detections(result), strict=True) if f.score >= threshold
    ]
    missed = set(range(len(result.truth_boxes))) - {n for _, n in pairs}
    return [f for f, n in pairs if n >= 0], [f for f, n in pairs if n == FALSE_POSITIVE], sorted(missed)


def collect_matches(result: ImageResult, frame: Image) -> tuple[list[Match], list[Match]]:
    """The faces of a picture, and its false alarms. `frame` has its pixels (H, W, 3), `seen` may have lost them."""
    gray = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    pairs = list(zip(result.detections, match_detections(result), strict=True))
    by_index: dict[int, tuple[Face | None, float]] = {n: (face, overlap) for face, (n, overlap) in pairs if n >= 0}
    masked = result.mask_states or (-1,) * len(result.truth_boxes)
    faces = []
    for n, box in enumerate(result.truth_boxes):
        face, overlap = by_index.get(n, (None, 0.0))
        faces.append(Match(result, box, face, overlap, measure_appearance(gray, box), masked[n]))
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
    """How a box (4,) of a grey frame (H, W) looks."""
    height, width = gray.shape
    left, top = np.clip(np.floor(box[:2]), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(box[2:]), (left + 1, top + 1), (width, height)).astype(int)
    region = gray[top:bottom, left:right]
    return RegionAppearance(
        float(region.mean()), float(cv2.Laplacian(resize(region, (PATCH_SIZE, PATCH_SIZE)), cv2.CV_64F).var())
    )
