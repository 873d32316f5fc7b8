"""Faces made unrecognizable in whatever leaves the process.

A detector misses a face now and then, and finds one only after it has come into view. So a picture is covered wherever
a face was in the second before it, and wherever one was found since: who calls `cover` a moment later covers more.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable

import cv2
import numpy as np

from pocketsight.device.boxes import Box
from pocketsight.device.image import Image
from pocketsight.device.record import Record

CELLS = 6  # of the mosaic, along the longer side of a face
MARGIN = 0.3  # of that side, covered around the box too: hair, ears and chin; and a box that lags behind
BEFORE = 1.0  # seconds for which a face stays covered where it was
KEPT = 30.0  # seconds of records; a picture must be covered before its own is forgotten


class Blur:
    """Remembers where faces were. `saw` belongs to the loop and is cheap; `cover` to any thread."""

    def __init__(self) -> None:
        self.records: deque[Record] = deque()
        self.lock = threading.Lock()

    def saw(self, record: Record) -> None:
        """A frame was looked at."""
        with self.lock:
            self.records.append(record)
            while self.records[0].born < record.born - KEPT:
                self.records.popleft()

    def cover(self, image: Image, record: Record, scale: float = 1.0) -> Image:
        """A copy of a frame without its faces. `image` is the frame of `record`, resized by `scale`."""
        canvas = image.copy()
        for box, side in _regions(self._around(record)):
            _pixelate(canvas, [scale * edge for edge in box], scale * side / CELLS)
        return canvas

    def _around(self, record: Record) -> list[Record]:
        if record.source is not None:  # a picture among others: they have nothing in common
            return [record]
        with self.lock:
            return [record, *(other for other in self.records if other.born >= record.born - BEFORE)]


def _regions(records: Iterable[Record]) -> Iterable[tuple[Box, float]]:
    """What to cover, and the side of the face in it: a face that is followed has one region, along its whole way."""
    ways: dict[object, tuple[Box, float]] = {}
    for record in records:
        faces = [(seen.track or (id(record), n), seen.box) for n, seen in enumerate(record.faces)]
        for key, box in [*faces, *((box, box) for box in record.others)]:
            side = max(box.right - box.left, box.bottom - box.top)
            more = MARGIN * side
            grown = Box(box.left - more, box.top - more, box.right + more, box.bottom + more)
            before, longest = ways.get(key, (grown, side))
            ways[key] = _union(before, grown), max(longest, side)
    return ways.values()


def _union(a: Box, b: Box) -> Box:
    return Box(min(a.left, b.left), min(a.top, b.top), max(a.right, b.right), max(a.bottom, b.bottom))


def _pixelate(image: Image, box: list[float], cell: float) -> None:
    """Replace what is inside the box by squares of their mean colour, `cell` pixels wide."""
    height, width = image.shape[:2]
    left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    right, bottom = min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))
    if left >= right or top >= bottom:
        return
    part = image[top:bottom, left:right]
    columns, rows = (max(1, round(length / max(cell, 1.0))) for length in (right - left, bottom - top))
    small = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    part[:] = np.asarray(cv2.resize(small, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST))
