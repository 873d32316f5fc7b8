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

from pocketsight.device.results import FrameResult
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image

MOSAIC_CELLS = 6  # of the mosaic, along the longer side of a face
BLUR_MARGIN = 0.3  # of that side, covered around the box too: hair, ears and chin; and a box that lags behind
LOOKBACK_SECONDS = 1.0  # seconds for which a face stays covered where it was
HISTORY_SECONDS = 30.0  # seconds of records; a picture must be covered before its own is forgotten


class FaceBlurrer:
    """Remembers where faces were. `saw` belongs to the loop and is cheap; `cover` to any thread."""

    def __init__(self) -> None:
        self.results: deque[FrameResult] = deque()
        self.lock = threading.Lock()

    def add_result(self, result: FrameResult) -> None:
        """A frame was looked at."""
        with self.lock:
            self.results.append(result)
            while self.results[0].captured_monotonic < result.captured_monotonic - HISTORY_SECONDS:
                self.results.popleft()

    def blur(self, image: Image, result: FrameResult, scale: float = 1.0) -> Image:
        """A copy of a frame without its faces. `image` is the frame of `record`, resized by `scale`."""
        canvas = image.copy()
        for box, side in _blur_regions(self._recent_results(result)):
            _pixelate(canvas, [scale * edge for edge in box], scale * side / MOSAIC_CELLS)
        return canvas

    def _recent_results(self, result: FrameResult) -> list[FrameResult]:
        if result.source is not None:  # a picture among others: they have nothing in common
            return [result]
        with self.lock:
            return [
                result,
                *(
                    other
                    for other in self.results
                    if other.captured_monotonic >= result.captured_monotonic - LOOKBACK_SECONDS
                ),
            ]


def _blur_regions(results: Iterable[FrameResult]) -> Iterable[tuple[Box, float]]:
    """What to cover, and the side of the face in it: a face that is followed has one region, along its whole way."""
    ways: dict[object, tuple[Box, float]] = {}
    for record in results:
        faces = [(seen.track_id or (id(record), n), seen.box) for n, seen in enumerate(record.faces)]
        for key, box in [*faces, *((box, box) for box in record.ignored_boxes)]:
            side = max(box.right - box.left, box.bottom - box.top)
            more = BLUR_MARGIN * side
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
