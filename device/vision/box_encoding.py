"""Boxes as the target of the detector: `encode` writes them on its grids. `decode` in inference/postprocess.py reads.

The detector has one grid of cells for each stride (pixels between cell centers). A cell whose center lies in a face
holds the distances from its center to the four sides of the box, in strides, 0 to MAX_DISTANCE (as in FCOS, arXiv
2006.09214). A network without grids finds at most one box: `encode_single`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.boxes import Boxes, box_area

# Strides. The range of ReLU6, so that the int8 output needs no calibration.
MAX_DISTANCE = 6.0

# Strides from the center of a box within which cells learn it ("center sampling" of FCOS).
CENTER_RADIUS = 1.5

# Strides: the longer sides of the boxes that a grid learns. The first grid also learns smaller, the last larger ones.
SIZE_RANGE = 2.0, 6.0

# Lowest IoU of a box with what a cell can hold of it.
MIN_CLIPPED_IOU = 0.6

# What a cell learns. POSITIVE is the first kind of object, POSITIVE + 1 the second, and so on.
POSITIVE, NEGATIVE, IGNORE = 1, 0, -1


def cell_centers(size: tuple[int, int], stride: int) -> NDArray[np.float32]:
    """x, y of the cell centers of one grid, (rows * columns, 2), in pixels, row by row. `size` is (height, width)."""
    y, x = np.mgrid[: size[0] // stride, : size[1] // stride]
    return ((np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride).astype(np.float32)


def encode(boxes: Boxes, ignore: Boxes, size: tuple[int, int], strides: Sequence[int]) -> NDArray[np.float32]:
    """Write boxes (N, 4) and regions to ignore (M, 4), in pixels, on the grids of an image of `size` (height, width).

    Returns (cells, 5), one grid after the other: POSITIVE, NEGATIVE or IGNORE, then the distances to left, top, right
    and bottom in strides. A cell belongs to the smallest box that its grid learns and whose center is within
    CENTER_RADIUS. A box of at least the first stride gets a cell even in a crowd or if it is long and narrow, as long
    as a cell is free or shared and can hold the box at an IoU of MIN_CLIPPED_IOU: its distances are clipped to 0 to
    MAX_DISTANCE. A box without a cell is ignored like the regions in `ignore`.
    """
    return np.asarray(encode_batch([boxes], [ignore], size, strides)[0], np.float32)


def encode_batch(
    boxes: Sequence[Boxes],
    ignore: Sequence[Boxes],
    size: tuple[int, int],
    strides: Sequence[int],
    kinds: Sequence[NDArray[Any]] | None = None,
) -> NDArray[np.float32]:
    """The targets (B, cells, 5) of a batch: for each image those of `encode`, in a tenth of the time.

    `kinds` has the kind (N,) of each box of an image, a number from 0; None: all are of the first.
    """
    x, y, stride = _grid_cells(size, tuple(strides))
    cell_count = len(x)
    targets = np.zeros((len(boxes) * cell_count, 5), np.float32)
    all_boxes = np.concatenate(boxes).astype(np.float32, copy=False)
    image = np.repeat(np.arange(len(boxes)), [len(each) for each in boxes])
    owner, count = _assign_cells(all_boxes, image, size, strides, len(targets))
    ignored = np.concatenate([*ignore, all_boxes[count == 0]])
    images_of_ignored = np.concatenate(
        [np.repeat(np.arange(len(ignore)), [len(each) for each in ignore]), image[count == 0]]
    )
    _fill_regions(targets[:, 0].reshape(len(boxes), cell_count), ignored, images_of_ignored, size, strides)
    (assigned,) = np.nonzero(owner >= 0)
    cell = assigned % cell_count
    targets[assigned, 0] = POSITIVE if kinds is None else POSITIVE + np.concatenate(kinds)[owner[assigned]]
    distances = np.stack(_distances(all_boxes[owner[assigned]], x[cell], y[cell], stride[cell]), axis=1)
    targets[assigned, 1:] = np.clip(distances, 0, MAX_DISTANCE)
    return targets.reshape(len(boxes), cell_count, 5)


def boxes_without_cell(boxes: Boxes, size: tuple[int, int], strides: Sequence[int]) -> NDArray[np.bool_]:
    """Whether the boxes (N, 4) of an image of `size` (height, width) get no cell, so that no training learns them."""
    image = np.zeros(len(boxes), np.intp)
    cells = len(_grid_cells(size, tuple(strides))[0])
    return np.asarray(_assign_cells(boxes.astype(np.float32, copy=False), image, size, strides, cells)[1] == 0)


def _assign_cells(
    boxes: Boxes, image: NDArray[np.intp], size: tuple[int, int], strides: Sequence[int], cells: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The box (cells,) that each cell of a batch belongs to, or -1, and the number (N,) of the cells of each box."""
    grid = _grid_cells(size, tuple(strides))
    own_cells = len(grid[0])
    owner = _nearest_owners(boxes, image, size, strides, cells)
    count = np.bincount(owner[owner >= 0], minlength=len(boxes))
    is_long = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0) >= min(strides)
    for box in np.flatnonzero((count == 0) & (is_long | _may_hold_cells(boxes, strides))).tolist():
        first = image[box] * own_cells
        _find_free_cell(box, boxes[box], owner[first : first + own_cells], count, grid)
    return owner, count


@lru_cache(maxsize=16)
def _grid_cells(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[NDArray[np.float32], ...]:
    """x, y and stride of all cells, (cells,) each, in pixels, one grid after the other."""
    points = [cell_centers(size, stride) for stride in strides]
    stride = np.repeat(np.array(strides, np.float32), [len(each) for each in points])
    xy = np.concatenate(points)
    return xy[:, 0].copy(), xy[:, 1].copy(), stride


def _distances(boxes: Boxes, x: Any, y: Any, stride: Any) -> tuple[Any, Any, Any, Any]:
    """From points to left, top, right and bottom of boxes (..., 4), in strides."""
    left, top, right, bottom = np.moveaxis(boxes, -1, 0)
    return (x - left) / stride, (y - top) / stride, (right - x) / stride, (bottom - y) / stride


def _is_inside(distances: Sequence[Any]) -> NDArray[np.bool_]:
    """Whether points lie in their boxes, no side farther than MAX_DISTANCE."""
    left, top, right, bottom = distances
    nearest = np.minimum(np.minimum(left, top), np.minimum(right, bottom))
    farthest = np.maximum(np.maximum(left, top), np.maximum(right, bottom))
    return np.asarray((nearest >= 0) & (farthest <= MAX_DISTANCE))


def _center_offset(distances: Sequence[Any]) -> NDArray[np.float32]:
    """Strides from points to the centers of their boxes, the larger of both directions."""
    left, top, right, bottom = distances
    return np.asarray(np.maximum(np.abs(right - left), np.abs(bottom - top)) / 2)


def _size_fits(boxes: Boxes, stride: Any, strides: Sequence[int]) -> NDArray[np.bool_]:
    """Whether a grid of `stride` learns boxes (..., 4)."""
    longer = np.maximum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]) / stride
    large_enough = (longer >= SIZE_RANGE[0]) | (stride == min(strides))
    return np.asarray(large_enough & ((longer <= SIZE_RANGE[1]) | (stride == max(strides))))


def _nearest_owners(
    boxes: Boxes, image: NDArray[np.intp], size: tuple[int, int], strides: Sequence[int], cells: int
) -> NDArray[np.intp]:
    """The box that each of the `cells` of a batch belongs to, or -1. `image` (N,) is that of each box.

    Only the 5x5 cells around the center of a box can lie within CENTER_RADIUS.
    """
    found: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    offset, per_image = 0, sum(size[0] // stride * (size[1] // stride) for stride in strides)
    around_y, around_x = (axis.ravel() for axis in np.mgrid[-2:3, -2:3])
    for stride in strides:
        rows, columns = size[0] // stride, size[1] // stride
        (fits,) = np.nonzero(_size_fits(boxes, np.float32(stride), strides))
        center = (boxes[fits, :2] + boxes[fits, 2:]) / (2 * stride)
        column = np.floor(center[:, :1]).astype(np.intp) + around_x
        row = np.floor(center[:, 1:]).astype(np.intp) + around_y
        x, y = (column + np.float32(0.5)) * np.float32(stride), (row + np.float32(0.5)) * np.float32(stride)
        distances = _distances(boxes[fits, None], x.astype(np.float32), y.astype(np.float32), np.float32(stride))
        valid = _is_inside(distances) & (_center_offset(distances) <= CENTER_RADIUS)
        valid &= (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        cell = image[fits, None] * per_image + offset + row * columns + column
        found.append((cell[valid], np.broadcast_to(fits[:, None], valid.shape)[valid]))
        offset += rows * columns
    cell, box = (np.concatenate(each) for each in zip(*found, strict=True))
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.lexsort((-box, -area[box]))  # the smallest box comes last and stays; of equal ones the first
    owner = np.full(cells, -1)
    owner[cell[order]] = box[order]
    return owner


def _may_hold_cells(boxes: Boxes, strides: Sequence[int]) -> NDArray[np.bool_]:
    """Whether boxes (N, 4) hold the center of a cell, which most small ones do not. It may be wrong by 0.001 px."""
    held = np.zeros(len(boxes), bool)
    for stride in strides:
        first = np.ceil((boxes[:, :2] - 1e-3) / stride - 0.5)
        held |= (first <= (boxes[:, 2:] + 1e-3) / stride - 0.5).all(1)
    return held


def _find_free_cell(
    box: int,
    sides: Boxes,
    owner: NDArray[np.intp],
    count: NDArray[np.intp],
    cells: tuple[NDArray[np.float32], ...],
) -> None:
    """Give a box without a cell the best free or shared one; changes `owner` (cells,) of its image and `count` (N,).

    A cell that holds the whole box is better than one that must clip it.
    """
    x, y, stride = cells
    near = (x >= sides[0] - stride) & (x <= sides[2] + stride) & (y >= sides[1] - stride) & (y <= sides[3] + stride)
    (near_cells,) = np.nonzero(near)
    distances = _distances(sides, x[near_cells], y[near_cells], stride[near_cells])
    clipped_iou = _clipped_iou(np.stack(distances))
    is_free = (owner[near_cells] < 0) | (count[owner[near_cells]] > 1)
    available = is_free & (_is_inside(distances) | (clipped_iou >= MIN_CLIPPED_IOU))
    if not available.any():
        return
    options = near_cells[available]
    fits = _size_fits(sides, stride[options], (int(stride[0]), int(stride[-1])))
    clips = ~_is_inside(distances)[available]
    penalty = _center_offset(distances)[available] + 8 * ~fits + (owner[options] >= 0)
    penalty = np.where(clips, 100 * (2 - clipped_iou[available]), penalty)
    cell = options[penalty.argmin()]
    if owner[cell] >= 0:
        count[owner[cell]] -= 1
    owner[cell] = box
    count[box] = 1


def _clipped_iou(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """(M,): the IoU of a box, as distances (4, M) from points, with that of the distances in 0 to MAX_DISTANCE."""
    clipped = np.clip(distances, 0, MAX_DISTANCE)
    shared = np.minimum(distances, clipped)
    areas = [(d[0] + d[2]) * (d[1] + d[3]) for d in (distances, clipped, shared)]
    both = np.where((shared[0] + shared[2] > 0) & (shared[1] + shared[3] > 0), areas[2], 0)
    return np.asarray(both / np.maximum(areas[0] + areas[1] - both, 1e-6), np.float32)


def _fill_regions(
    states: NDArray[np.float32], regions: Boxes, image: NDArray[np.intp], size: tuple[int, int], strides: Sequence[int]
) -> None:
    """Set the cells in regions (M, 4) of `states` (B, cells) to IGNORE. Each region has a cell however small it is."""
    offset = 0
    for stride in strides:
        rows, columns = size[0] // stride, size[1] // stride
        grid = states[:, offset : offset + rows * columns].reshape(len(states), rows, columns)
        x, y = ((np.arange(count) + 0.5).astype(np.float32) * np.float32(stride) for count in (columns, rows))
        reach = np.float32(stride / 2)
        left, top = np.searchsorted(x, regions[:, 0] - reach), np.searchsorted(y, regions[:, 1] - reach)
        right = np.searchsorted(x, regions[:, 2] + reach, side="right")
        bottom = np.searchsorted(y, regions[:, 3] + reach, side="right")
        for index, *(t, b, le, r) in zip(image, top, bottom, left, right, strict=True):
            grid[index, t:b, le:r] = IGNORE
        offset += rows * columns


def encode_single(boxes: Boxes, size: tuple[int, int]) -> NDArray[np.float32]:
    """Write the largest of boxes (N, 4), in pixels, for a network that finds one box.

    Returns (5,): 1, then left, top, right and bottom as fractions of `size` (height, width); zeros without a box.
    """
    if not len(boxes):
        return np.zeros(5, np.float32)
    height, width = size
    largest = boxes[box_area(boxes).argmax()]
    return np.array([1, *(largest / (width, height, width, height))], np.float32)
