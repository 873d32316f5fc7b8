"""Augmentation: random windows, rotation and masks; photometric.py changes light and color.

Windows are scaled by the board's own code; rotated ones by one bilinear warp, after the board's halvings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.boxes import Boxes, box_area
from pocketsight.device.vision.crop import crop_window
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.device.vision.resize import resize
from pocketsight.train.datasets.detection_sample import Kinds
from pocketsight.train.recipe import Recipe

# Share of a box that must be in the window. A box with less is ignored, neither object nor background.
MIN_VISIBLE_SHARE = 0.4

Affine = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f: the point x, y moves to a x + b y + c, d x + e y + f."""


class Placement(NamedTuple):
    """The boxes of an image, and where they go in a frame of the network."""

    boxes: Boxes  # (N, 4) in px of the image
    ignored: Boxes  # (M, 4), neither object nor background
    matrix: Affine  # from px of the image to px of the frame
    area: tuple[float, float, float, float]  # left, top, right, bottom of what the frame shows of the image
    kinds: Kinds | None = None  # (N,) of the boxes; None: all are of the first


PlacedBoxes = tuple[Boxes, Boxes, Kinds]
"""The boxes (N, 4) of an image, its boxes to ignore (M, 4), and the kinds (N,) of the former."""


def random_window(
    image: Image,
    boxes: Boxes,
    size: tuple[int, int],
    recipe: Recipe,
    rng: np.random.Generator,
    input_scale: float = 1.0,
) -> list[int]:
    """A random window [left, top, right, bottom] in px of the image, with the aspect ratio of `size` (height, width).

    It may be smaller than the image (zoom in) or reach beyond it (zoom out); its scale is log-uniform. `input_scale` is
    `size` divided by the network's input size. The window shrinks with it, so that faces keep their size in px.
    """
    whole, zoom, x, y, centered, which, x_of_box, y_of_box = rng.random(8).tolist()  # at once: a call costs 1 us
    height, width = image.shape[:2]
    full_width = max(width, height * size[1] / size[0])  # of the smallest window that contains the image
    if whole < recipe.full_frame:
        return [0, 0, round(full_width), round(full_width * size[0] / size[1])]
    if recipe.square_window:
        window_width = min(width, height) * recipe.square_window
    else:
        low, high = recipe.scale_range
        window_width = full_width * low * (high / low) ** zoom * input_scale
    window_height = window_width * size[0] / size[1]
    left, top = x * (width - window_width), y * (height - window_height)
    if len(boxes) and centered < (recipe.object_centered if input_scale == 1 else recipe.low_res_object_centered):
        box = boxes[int(which * len(boxes))].tolist()
        left, top = (
            far - side + share * (near + side - far) if side > far - near else (near + far - side) / 2
            for near, far, side, share in (
                (box[0], box[2], window_width, x_of_box),
                (box[1], box[3], window_height, y_of_box),
            )
        )
    right, bottom = round(left + window_width), round(top + window_height)
    return [round(left), round(top), max(right, round(left) + 1), max(bottom, round(top) + 1)]


def window_matrix(
    window: Sequence[int], degrees: float, size: tuple[int, int], mirror_x: bool = False, mirror_y: bool = False
) -> Affine:
    """From px of an image to px of its window, letterboxed to `size` (height, width).

    The window is rotated around its center by `degrees`, then mirrored.
    """
    left, top, right, bottom = window
    scale = min(size[0] / (bottom - top), size[1] / (right - left))
    cosine, sine = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    x, y = (left + right) / 2, (top + bottom) / 2
    a, b, c = cosine, sine, (right - left) / 2 * scale - cosine * x - sine * y
    d, e, f = -sine, cosine, (bottom - top) / 2 * scale + sine * x - cosine * y
    if mirror_x:
        a, b, c = -a, -b, size[1] - c
    if mirror_y:
        d, e, f = -d, -e, size[0] - f
    return a, b, c, d, e, f


def warp(image: Image, matrix: Affine, size: tuple[int, int]) -> Image:
    """The image (H, W, 3) moved by a matrix to a canvas of `size` (height, width), black where it does not reach."""
    a, b, c, d, e, f = matrix
    determinant = a * e - b * d
    corners = [(x - c, y - f) for x in (0, size[1]) for y in (0, size[0])]
    xs = [(e * x - b * y) / determinant for x, y in corners]
    ys = [(a * y - d * x) / determinant for x, y in corners]
    halvings = max(0, int(math.log2(abs(determinant)) / -2))
    margin = 2 << halvings
    left, top = max(0, int(min(xs)) - margin), max(0, int(min(ys)) - margin)
    piece = image[top : max(0, int(max(ys)) + margin), left : max(0, int(max(xs)) + margin)]
    height, width = piece.shape[:2]
    if not height or not width:
        return np.zeros((*size, 3), np.uint8)
    if halvings:  # bilinear sampling alone would skip pixels
        piece = resize(piece, (-(-height >> halvings), -(-width >> halvings)))
    c, f = c + a * left + b * top, f + d * left + e * top
    (a, b), (d, e) = ((x * width / piece.shape[1], y * height / piece.shape[0]) for x, y in ((a, b), (d, e)))
    # OpenCV counts from the center of the first pixel. It takes half of the time if a pixel has four bytes.
    moved = np.array([[a, b, c + (a + b - 1) / 2], [d, e, f + (d + e - 1) / 2]])
    canvas = cv2.warpAffine(cv2.cvtColor(piece, cv2.COLOR_RGB2RGBA), moved, size[::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(canvas, cv2.COLOR_RGBA2RGB), np.uint8)


def random_crop(
    image: Image,
    boxes: Boxes,
    size: tuple[int, int],
    recipe: Recipe,
    rng: np.random.Generator,
    input_scale: float = 1.0,
) -> tuple[Image, Affine]:
    """A random window of the image, maybe rotated and flipped, scaled to `size` (height, width).

    Some windows contain one of the boxes (N, 4). Returns the window and the matrix from px of the image to its px.
    """
    window = random_window(image, boxes, size, recipe, rng, input_scale)
    rotation, angle, flip_x, flip_y = rng.random(4).tolist()
    degrees = recipe.max_rotation * (2 * angle - 1) if rotation < recipe.rotation_prob else 0.0
    mirror_x, mirror_y = flip_x < recipe.horizontal_flip, flip_y < recipe.vertical_flip
    matrix = window_matrix(window, degrees, size, mirror_x, mirror_y)
    if degrees:
        return warp(image, matrix, size), matrix
    canvas, _ = letterbox(crop_window(image, *window), size)
    if mirror_x or mirror_y:
        canvas = np.asarray(cv2.flip(canvas, -1 if mirror_x and mirror_y else int(mirror_x)), np.uint8)
    return canvas, matrix


def place_boxes(placements: Sequence[Placement]) -> list[PlacedBoxes]:
    """For each placement its boxes, those to ignore and the kinds of the former, in px of the frame, cut at `area`.

    A rotated box is the bounding box of the rotated ellipse inscribed in the old one: the bounding box of the rotated
    corners would be too large for a face. A box that is visible by less than MIN_VISIBLE_SHARE becomes one to ignore.
    """
    parts = [part for placement in placements for part in (placement.boxes, placement.ignored)]
    part = np.repeat(np.arange(len(parts)), [len(each) for each in parts])
    owner = part // 2
    boxes = np.concatenate(parts)
    a, b, c, d, e, f = np.array([placement.matrix for placement in placements])[owner].T
    (x, y), (half_width, half_height) = ((boxes[:, 2:] + s * boxes[:, :2]).T / 2 for s in (1, -1))
    center = np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)
    half = np.stack([np.hypot(a * half_width, b * half_height), np.hypot(d * half_width, e * half_height)], axis=1)
    placed = np.concatenate([center - half, center + half], axis=1)
    area = np.array([placement.area for placement in placements])[owner]
    clipped = np.clip(placed, area[:, [0, 1, 0, 1]], area[:, [2, 3, 2, 3]])
    visible = box_area(clipped)
    is_object = (part % 2 == 0) & (visible / np.maximum(box_area(placed), 1e-6) >= MIN_VISIBLE_SHARE)
    chosen = (is_object, ~is_object & (visible > 0))
    objects, regions = (_split(clipped[which].astype(np.float32), owner[which], len(placements)) for which in chosen)
    all_kinds: list[Kinds] = []
    for own, ignored, *_, kinds in placements:
        all_kinds += [np.zeros(len(own), np.int16) if kinds is None else kinds, np.zeros(len(ignored), np.int16)]
    kinds_of = _split(np.concatenate(all_kinds)[is_object], owner[is_object], len(placements))
    return list(zip(objects, regions, kinds_of, strict=True))


def _split(rows: NDArray[Any], owner: NDArray[np.intp], count: int) -> list[NDArray[Any]]:
    """The rows (N, ...) of each of `count` owners; `owner` (N,) rises."""
    ends = np.bincount(owner, minlength=count).cumsum().tolist()
    return [rows[first:end] for first, end in zip([0, *ends], ends, strict=False)]


def draw_mask(face: Image, margin: float, rng: np.random.Generator) -> Image:
    """A face crop (H, W, 3) with a cloth mask of random color and shading drawn over the lower half of the face."""
    height, width = face.shape[:2]
    low, high = margin / (1 + 2 * margin), (1 + margin) / (1 + 2 * margin)  # the face box, in shares of the crop

    # A point in shares of the face box, jittered, in 1/8 px of the crop.
    def to_crop(x: float, y: float) -> list[float]:
        x, y = x + rng.normal(0, 0.02), y + rng.normal(0, 0.02)
        return [(low + (high - low) * x) * width * 8, (low + (high - low) * y) * height * 8]

    top, chin, half_width = rng.uniform(0.42, 0.6), rng.uniform(0.9, 1.05), rng.uniform(0.28, 0.42)
    middle = rng.normal(0.5, 0.04)
    corners = [
        to_crop(middle - half_width, top + 0.06),
        to_crop(middle, top),
        to_crop(middle + half_width, top + 0.06),
        to_crop(middle + half_width * 0.9, chin - 0.18),
        to_crop(middle + half_width * 0.4, chin),
        to_crop(middle - half_width * 0.4, chin),
        to_crop(middle - half_width * 0.9, chin - 0.18),
    ]
    cover = np.zeros((height, width), np.uint8)
    cv2.fillPoly(cover, [np.array(corners).round().astype(np.int32)], 255, cv2.LINE_AA, shift=3)
    color_spread = 25 if np.ptp(face.reshape(-1, 3), axis=1).max() > 8 else 0  # a gray image stays gray
    tone = rng.uniform(0, 255) + rng.normal(0, color_spread, 3)
    weave = rng.normal(0, rng.uniform(1, 8), (height, width, 1))
    shade = np.linspace(-1, 1, width)[None, :, None] * rng.normal(0, 30) + weave
    opacity = (cover / 255.0)[..., None]
    masked = face * (1 - opacity) + np.clip(tone + shade, 0, 255) * opacity
    return np.asarray(masked.round(), np.uint8)
