"""What a detector found beside what is labelled, place by place: every figure and every gallery is made from this."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.boxes import Boxes
from pocketsight.device.detector import Face
from pocketsight.device.image import Image, resize

RIGHT = 0.5  # intersection over union from which a detection has found a face
BESIDE = 0.1  # intersection over union from which a false alarm is a face whose box is off (as in TIDE, ECCV 2020)
ALARM, IGNORED = -1, -2  # instead of a face's number: a false alarm; a detection that does not count
PATCH = (
    16  # px: all faces are brought to the size of the smallest before their detail is measured, or size would decide
)

Overlaps = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """One picture after detection. All boxes are in pixels of the fitted frame."""

    path: Path
    frame: Image
    boxes: Boxes  # faces that count
    ignore: Boxes  # faces too small, and regions to ignore
    found: list[Face]  # scores from FLOOR, best first
    scale: float = 1.0  # pixels of the frame = pixels of the file * scale
    source: str = ""
    masked: tuple[int, ...] = field(default=())  # as in Example, of the faces that count


class Look(NamedTuple):
    """How a region of a frame looks, in grey."""

    light: float  # mean, 0..255
    detail: float  # variance of the Laplacian at PATCH x PATCH pixels; low: blurred, or without contrast


@dataclass(frozen=True, slots=True)
class Spot:
    """A labelled face, found or not, or a false alarm."""

    seen: Seen
    face: Boxes | None  # (4,); None: a false alarm
    found: Face | None  # None: no detection from FLOOR found this face
    overlap: float  # intersection over union of both; of a false alarm: with whatever is labelled there
    look: Look
    masked: int = -1

    @property
    def score(self) -> float:
        """Of the detection; 0 where there is none."""
        return self.found.score if self.found else 0.0

    @property
    def box(self) -> Boxes:
        """The face as labelled, or the false alarm."""
        return self.face if self.face is not None else np.array(self.found.box if self.found else (0,) * 4, np.float32)

    @property
    def size(self) -> float:
        """The longer side of the box, px of the frame."""
        return float((self.box[2:] - self.box[:2]).max())


def _shared(a: Boxes, b: Boxes) -> Overlaps:
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    return np.asarray(sides.prod(-1), np.float64)


def area(boxes: Boxes) -> Overlaps:
    """(...): of boxes (..., 4)."""
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).prod(-1), np.float64)


def iou(a: Boxes, b: Boxes) -> Overlaps:
    """Intersection over union of boxes (..., 4) and (..., 4)."""
    shared = _shared(a, b)
    return shared / np.maximum(area(a) + area(b) - shared, 1e-9)


def inside(boxes: Boxes, regions: Boxes) -> Overlaps:
    """Share of the boxes (..., 4) that lies in the regions (..., 4)."""
    return _shared(boxes, regions) / np.maximum(area(boxes), 1e-9)


def hits(seen: Seen) -> list[tuple[int, float]]:
    """For each detection the number of the face that it found, ALARM or IGNORED, and the overlap.

    The best detection chooses first, as in COCO's evaluation; so what is true from FLOOR is true from any score.
    """
    found = np.array([face.box for face in seen.found], np.float32).reshape(-1, 4)
    overlaps = iou(found[:, None], seen.boxes[None])
    ignored = np.any(inside(found[:, None], seen.ignore[None]) >= RIGHT, axis=-1)
    chosen = []
    for row, ignore in zip(overlaps, ignored, strict=True):
        best = int(row.argmax()) if len(row) else -1
        if best >= 0 and row[best] >= RIGHT:
            chosen.append((best, float(row[best])))
            overlaps[:, best] = 0  # a face is found once
        else:
            chosen.append((IGNORED if ignore else ALARM, 0.0))
    return chosen


def matched(seen: Seen, threshold: float) -> tuple[list[Face], list[Face], list[int]]:
    """Right detections, false alarms, and numbers of missed faces, from the detections that count."""
    pairs = [(f, n) for f, (n, _) in zip(seen.found, hits(seen), strict=True) if f.score >= threshold]
    missed = set(range(len(seen.boxes))) - {n for _, n in pairs}
    return [f for f, n in pairs if n >= 0], [f for f, n in pairs if n == ALARM], sorted(missed)


def spots(seen: Seen, frame: Image) -> tuple[list[Spot], list[Spot]]:
    """The faces of a picture, and its false alarms. `frame` has its pixels (H, W, 3), `seen` may have lost them."""
    grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    pairs = list(zip(seen.found, hits(seen), strict=True))
    finder: dict[int, tuple[Face | None, float]] = {n: (face, overlap) for face, (n, overlap) in pairs if n >= 0}
    masked = seen.masked or (-1,) * len(seen.boxes)
    faces = []
    for n, box in enumerate(seen.boxes):
        face, overlap = finder.get(n, (None, 0.0))
        faces.append(Spot(seen, box, face, overlap, look(grey, box), masked[n]))
    alarms = []
    for face, (n, _) in pairs:
        if n == ALARM:
            box = np.array(face.box, np.float32)
            overlap = float(iou(box, np.concatenate([seen.boxes, seen.ignore])).max(initial=0))
            alarms.append(Spot(seen, None, face, overlap, look(grey, box)))
    return faces, alarms


def look(grey: NDArray[np.uint8], box: Boxes) -> Look:
    """How a box (4,) of a grey frame (H, W) looks."""
    height, width = grey.shape
    left, top = np.clip(np.floor(box[:2]), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(box[2:]), (left + 1, top + 1), (width, height)).astype(int)
    region = grey[top:bottom, left:right]
    return Look(float(region.mean()), float(cv2.Laplacian(resize(region, (PATCH, PATCH)), cv2.CV_64F).var()))
