"""What a row of a YOLO file is: a box, an outline or landmarks. Only the data set as a whole can say.

A row is a class number and n numbers, in shares of the image:

* n = 4: center and size; n = 5: also a confidence
* n = 4 + K*D: also K landmarks of D values, where the .yaml file has `kpt_shape: [K, D]`
* even n from 6: an outline, where the .yaml file has no `kpt_shape`; odd n: also a confidence

A landmark at -1 -1 is absent. A box with a fifth number must be in its image: the confidence may come first.

Without a .yaml file a row of 4 corners is a turned box, and landmarks show by their visibility, 0, 1 or 2. Other rows
are outlines if the rows differ in length, or if one of them cannot be landmarks. Otherwise they are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.formats.shapes import Bounds, points_bounds

TOLERANCE = 0.01  # of the image; tools round
LOWEST, HIGHEST = -TOLERANCE, 1 + TOLERANCE
ADVICE = "put a data.yaml with names next to it, and for landmarks with kpt_shape"

CONFIDENCE_ADVICE = "a confidence belongs behind class cx cy w h"


class Row(NamedTuple):
    """One line of a label file."""

    class_number: int
    values: list[float]  # without the class
    location: str  # file and line
    text: str


class RowReader:
    """Reads the boxes of rows. `document` is the .yaml file with names; {} without one. `rows` are all of the data."""

    def __init__(self, document: dict[str, Any], rows: Sequence[Row]) -> None:
        self.kpt_shape, self.has_document = _parse_kpt_shape(document), bool(document)
        long_rows = [row for row in rows if len(row.values) > 5]
        self.landmark_lengths = {len(row.values) for row in long_rows if _has_absent_marks(row.values)}
        # All landmarks of a data set have one length.
        self.are_outlines = bool(document) or (
            (len({len(row.values) for row in long_rows}) > 1 and all(len(row.values) % 2 == 0 for row in long_rows))
            or any(not _may_be_landmarks(row.values) for row in long_rows)
        )

    def read_bounds(self, row: Row) -> Bounds:
        """The box of a row, in shares of the image. Raises DataError when it cannot be known what the row is."""
        values, count = row.values, len(row.values)
        if count < 4:
            raise DataError(f"{row.location}: {row.text!r} is not 'class cx cy w h'")
        if count in (4, 5):
            _require_shares(values, row)
            if count == 5 and not _may_be_box(values):
                raise DataError(f"{row.location}: the box of {row.text!r} is not in its image; {CONFIDENCE_ADVICE}")
            return _centered(values)
        if self.kpt_shape:
            points, numbers = self.kpt_shape
            expected = 4 + points * numbers
            if count not in (expected, expected + 1):
                raise DataError(f"{row.location}: {count} numbers after the class; kpt_shape needs {expected}")
            _require_shares(values[:4], row)
            return _centered(values)
        if count in self.landmark_lengths or (not self.has_document and _has_visibilities(values)):
            _require_shares(values[:4], row)
            return _centered(values)
        outline = values if count % 2 == 0 else values[:-1]
        is_certain = self.are_outlines or (count == 8 and _is_parallelogram(outline))
        if not is_certain:
            raise DataError(f"{row.location}: {row.text!r} may be an outline or a box with landmarks; {ADVICE}")
        _require_shares(values, row)
        return points_bounds(outline[::2], outline[1::2])


def _parse_kpt_shape(document: dict[str, Any]) -> tuple[int, int] | None:
    shape = document.get("kpt_shape")
    if shape is None:
        return None
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) and n > 0 for n in shape)):
        raise DataError(f"kpt_shape is {shape!r}; it must be [landmarks, 2 or 3]")
    return shape[0], shape[1]


def _require_shares(values: Sequence[float], row: Row) -> None:
    if wrong := [value for value in values if not LOWEST <= value <= HIGHEST]:
        raise DataError(f"{row.location}: {wrong[0]:g} is not in 0..1; YOLO stores shares of the image, not pixels")


def _centered(values: Sequence[float]) -> Bounds:
    cx, cy, w, h = values[:4]
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def _has_visibilities(values: Sequence[float]) -> bool:
    """Whether every third number after the box is a visibility: 0, 1 or 2, which no share is."""
    marks = values[6::3]
    if (len(values) - 4) % 3 or not all(mark in (0, 1, 2) for mark in marks):
        return False
    return _may_be_box(values) and (2 in marks or len(values) % 2 == 1)


def _has_absent_marks(values: Sequence[float]) -> bool:
    """Whether a row has landmarks of 2 values, one of them absent: the corner of an outline is never at -1."""
    return (-1.0, -1.0) in zip(values[4::2], values[5::2], strict=False) and _may_be_box(values)


def _may_be_landmarks(values: Sequence[float]) -> bool:
    """Whether a row may be a box and landmarks of 2 values: the landmarks, if known, are in or near the box."""
    if not _may_be_box(values):
        return False
    left, top, right, bottom = _centered(values)
    marks = values[4:] if len(values) % 2 == 0 else values[4:-1]
    points = [(x, y) for x, y in zip(marks[::2], marks[1::2], strict=True) if x or y]
    margin_x, margin_y = (right - left) / 2, (bottom - top) / 2
    return all(left - margin_x <= x <= right + margin_x and top - margin_y <= y <= bottom + margin_y for x, y in points)


def _may_be_box(values: Sequence[float]) -> bool:
    left, top, right, bottom = _centered(values)
    return LOWEST <= left < right <= HIGHEST and LOWEST <= top < bottom <= HIGHEST


def _is_parallelogram(values: Sequence[float]) -> bool:
    """Whether four points are the corners of a turned box, in order: its diagonals share their middle."""
    x, y = values[::2], values[1::2]
    return abs(x[0] + x[2] - x[1] - x[3]) < TOLERANCE and abs(y[0] + y[2] - y[1] - y[3]) < TOLERANCE
