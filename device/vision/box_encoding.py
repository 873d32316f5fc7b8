"""TODO docstring."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.boxes import Boxes

MAX_DISTANCE = 6.0  # strides; the range of ReLU6, so that int8 has nothing to calibrate


CENTER_RADIUS = (
    1.5  # strides; how far from a box's centre its cells reach ("center sampling" of FCOS, arXiv 2006.09214)
)


SIZE_RANGE = (
    2.0,
    6.0,
)  # strides; longer side of the boxes that a grid learns; the first also learns smaller, the last larger


POSITIVE, NEGATIVE, IGNORE = 1, 0, -1  # what a cell is to learn


def cell_centers(size: tuple[int, int], stride: int) -> NDArray[np.float32]:
    """(rows * cols, 2): x, y of the cells of one grid, in pixels, row by row."""
    y, x = np.mgrid[: size[0] // stride, : size[1] // stride]
    return ((np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride).astype(np.float32)


def encode(boxes: Boxes, ignore: Boxes, size: tuple[int, int], strides: Sequence[int]) -> NDArray[np.float32]:
    """Write boxes on the grids of a picture of `size` = (height, width).

    Returns (cells, 5), the grids one after the other: FACE, NOTHING or IGNORED, then the distances to left, top,
    right and bottom in strides. A cell belongs to the smallest box that its grid learns and whose centre is within
    RADIUS. A box of at least the first stride, and at most 5 times as long as wide, gets a cell even where others
    crowd it out, as long as there is one that no other needs. One that gets none is ignored as `ignore` is.
    """
    x, y, stride = _grid_cells(size, tuple(strides))  # (cells, 1) each
    cells = np.zeros((len(x), 5), np.float32)
    if len(boxes):
        left, top, right, bottom = boxes.T  # (N,) each
        sides = (x - left) / stride, (y - top) / stride, (right - x) / stride, (bottom - y) / stride  # (cells, N) each
        held = (_reduce_sides(np.minimum, sides) >= 0) & (_reduce_sides(np.maximum, sides) <= MAX_DISTANCE)
        offset = np.maximum(np.abs(sides[2] - sides[0]), np.abs(sides[3] - sides[1])) / 2  # from the box's centre
        longer = np.maximum(right - left, bottom - top) / stride
        learned = ((longer >= SIZE_RANGE[0]) | (stride == min(strides))) & (
            (longer <= SIZE_RANGE[1]) | (stride == max(strides))
        )
        owner = _assign_cells(held, learned, offset, (right - left) * (bottom - top))
        ignore = np.concatenate([ignore, np.delete(boxes, owner[owner >= 0], axis=0)])
        (taken,) = np.nonzero(owner >= 0)
        for column, side in enumerate(sides, 1):
            cells[taken, column] = side[taken, owner[taken]]
    if len(ignore):
        reach = stride / 2  # at least one cell, however small the region
        across = (x >= ignore[:, 0] - reach) & (x <= ignore[:, 2] + reach)
        inside = across & (y >= ignore[:, 1] - reach) & (y <= ignore[:, 3] + reach)
        cells[inside.any(-1), 0] = IGNORE
    if len(boxes):
        cells[taken, 0] = POSITIVE
    return cells


def _reduce_sides(function: np.ufunc, sides: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Of four arrays, cell by cell."""
    return np.asarray(function(function(sides[0], sides[1]), function(sides[2], sides[3])))


@lru_cache(maxsize=16)
def _grid_cells(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[NDArray[np.float32], ...]:
    """x, y and stride of all cells, (cells, 1) each, pixels, the grids one after the other."""
    points = [cell_centers(size, stride) for stride in strides]
    stride = np.repeat(np.array(strides, np.float32), [len(each) for each in points])
    xy = np.concatenate(points)
    return xy[:, :1].copy(), xy[:, 1:].copy(), stride[:, None]


def _assign_cells(
    center_inside: NDArray[np.bool_],
    size_fits: NDArray[np.bool_],
    center_offset: NDArray[np.float32],
    area: NDArray[np.float32],
) -> NDArray[np.intp]:
    """(cells,): the box that each cell belongs to, or -1. The first three are (cells, N), `area` is (N,)."""
    wanted = np.where(center_inside & size_fits & (center_offset <= CENTER_RADIUS), area, np.inf)
    owner = np.where(np.isfinite(wanted.min(1)), wanted.argmin(1), -1)
    count = np.bincount(owner[owner >= 0], minlength=len(area))
    for box in np.flatnonzero(count == 0):
        shared = (owner < 0) | (count[owner] > 1)
        (options,) = np.nonzero(center_inside[:, box] & shared)
        if len(options):
            cost = center_offset[options, box] + 8 * ~size_fits[options, box] + (owner[options] >= 0)
            cell = options[cost.argmin()]
            if owner[cell] >= 0:
                count[owner[cell]] -= 1
            owner[cell] = box
            count[box] = 1
    return owner


def encode_single(boxes: Boxes, size: tuple[int, int]) -> NDArray[np.float32]:
    """Write the largest box for a net that finds one: (5,), 1 and left, top, right, bottom in shares of `size`.

    All zeros where there is none.
    """
    if not len(boxes):
        return np.zeros(5, np.float32)
    height, width = size
    largest = boxes[np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax()]
    return np.array([1, *(largest / (width, height, width, height))], np.float32)
