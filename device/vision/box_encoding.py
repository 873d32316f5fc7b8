"""Boxes as the target of the detector: `encode` writes them on its grids. `decode` in inference/postprocess.py reads.

The detector has one grid of cells for each stride (pixels between cell centers). A cell whose center lies in a face
holds the distances from its center to the four sides of the box, in strides, 0 to MAX_DISTANCE (as in FCOS, arXiv
2006.09214). A network without grids finds at most one box: `encode_single`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.boxes import Boxes, box_area

# Strides. The range of ReLU6, so that the int8 output needs no calibration.
MAX_DISTANCE = 6.0

# Strides from the center of a box within which cells learn it ("center sampling" of FCOS).
CENTER_RADIUS = 1.5

# Strides: the longer sides of the boxes that a grid learns. The first grid also learns smaller, the last larger ones.
SIZE_RANGE = 2.0, 6.0

# What a cell learns.
POSITIVE, NEGATIVE, IGNORE = 1, 0, -1


def cell_centers(size: tuple[int, int], stride: int) -> NDArray[np.float32]:
    """x, y of the cell centers of one grid, (rows * columns, 2), in pixels, row by row. `size` is (height, width)."""
    y, x = np.mgrid[: size[0] // stride, : size[1] // stride]
    return ((np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride).astype(np.float32)


def encode(boxes: Boxes, ignore: Boxes, size: tuple[int, int], strides: Sequence[int]) -> NDArray[np.float32]:
    """Write boxes (N, 4) and regions to ignore (M, 4), in pixels, on the grids of an image of `size` (height, width).

    Returns (cells, 5), one grid after the other: POSITIVE, NEGATIVE or IGNORE, then the distances to left, top, right
    and bottom in strides. A cell belongs to the smallest box that its grid learns and whose center is within
    CENTER_RADIUS. A box of at least the first stride and an aspect ratio of at most 5 gets a cell even in a crowd, as
    long as a cell is free or shared. A box without a cell is ignored like the regions in `ignore`.
    """
    x, y, stride = _grid_cells(size, tuple(strides))
    cells = np.zeros((len(x), 5), np.float32)
    owner = np.full(len(x), -1)
    if len(boxes):
        left, top, right, bottom = boxes.T
        # (cells, N) each
        distances = (x - left) / stride, (y - top) / stride, (right - x) / stride, (bottom - y) / stride
        owner = _assign_boxes(boxes, distances, stride)
        ignore = np.concatenate([ignore, np.delete(boxes, owner[owner >= 0], axis=0)])
        assigned = owner >= 0
        for column, distance in enumerate(distances, 1):
            cells[assigned, column] = distance[assigned, owner[assigned]]
    if len(ignore):
        cells[_cells_in(ignore, x, y, stride), 0] = IGNORE
    cells[owner >= 0, 0] = POSITIVE
    return cells


@lru_cache(maxsize=16)
def _grid_cells(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[NDArray[np.float32], ...]:
    """x, y and stride of all cells, (cells, 1) each, in pixels, one grid after the other."""
    points = [cell_centers(size, stride) for stride in strides]
    stride = np.repeat(np.array(strides, np.float32), [len(each) for each in points])
    xy = np.concatenate(points)
    return xy[:, :1].copy(), xy[:, 1:].copy(), stride[:, None]


def _assign_boxes(
    boxes: Boxes, distances: tuple[NDArray[np.float32], ...], stride: NDArray[np.float32]
) -> NDArray[np.intp]:
    """The box that each cell belongs to, (cells,), or -1. `distances` are in strides, (cells, N) each."""
    inside = (_reduce_sides(np.minimum, distances) >= 0) & (_reduce_sides(np.maximum, distances) <= MAX_DISTANCE)
    to_left, to_top, to_right, to_bottom = distances
    center_offset = np.maximum(np.abs(to_right - to_left), np.abs(to_bottom - to_top)) / 2
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) / stride
    large_enough = (longer >= SIZE_RANGE[0]) | (stride == stride.min())
    small_enough = (longer <= SIZE_RANGE[1]) | (stride == stride.max())
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return _assign_cells(inside, large_enough & small_enough, center_offset, area)


def _reduce_sides(function: np.ufunc, sides: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Apply `function` to four arrays, element by element."""
    return np.asarray(function(function(sides[0], sides[1]), function(sides[2], sides[3])))


def _assign_cells(
    center_inside: NDArray[np.bool_],
    size_fits: NDArray[np.bool_],
    center_offset: NDArray[np.float32],
    area: NDArray[np.float32],
) -> NDArray[np.intp]:
    """The box that each cell belongs to, (cells,), or -1. The first three are (cells, N), `area` is (N,)."""
    cost = np.where(center_inside & size_fits & (center_offset <= CENTER_RADIUS), area, np.inf)
    owner = np.where(np.isfinite(cost.min(1)), cost.argmin(1), -1)
    count = np.bincount(owner[owner >= 0], minlength=len(area))
    for box in np.flatnonzero(count == 0):
        available = (owner < 0) | (count[owner] > 1)
        (options,) = np.nonzero(center_inside[:, box] & available)
        if len(options):
            penalty = center_offset[options, box] + 8 * ~size_fits[options, box] + (owner[options] >= 0)
            cell = options[penalty.argmin()]
            if owner[cell] >= 0:
                count[owner[cell]] -= 1
            owner[cell] = box
            count[box] = 1
    return owner


def _cells_in(
    regions: Boxes, x: NDArray[np.float32], y: NDArray[np.float32], stride: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Whether each cell (cells,) lies in a region, which has at least one cell however small it is."""
    reach = stride / 2
    inside_x = (x >= regions[:, 0] - reach) & (x <= regions[:, 2] + reach)
    inside_y = (y >= regions[:, 1] - reach) & (y <= regions[:, 3] + reach)
    return np.asarray((inside_x & inside_y).any(-1))


def encode_single(boxes: Boxes, size: tuple[int, int]) -> NDArray[np.float32]:
    """Write the largest of boxes (N, 4), in pixels, for a network that finds one box.

    Returns (5,): 1, then left, top, right and bottom as fractions of `size` (height, width); zeros without a box.
    """
    if not len(boxes):
        return np.zeros(5, np.float32)
    height, width = size
    largest = boxes[box_area(boxes).argmax()]
    return np.array([1, *(largest / (width, height, width, height))], np.float32)
