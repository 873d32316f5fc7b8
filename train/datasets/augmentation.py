"""Augmentation: random windows, rotation and masks; photometric.py changes light and color.

Windows are scaled by the board's own code; rotated ones by one bilinear warp, after the board's halvings.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.boxes import Boxes, box_area
from pocketsight.device.vision.crop import crop_window
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.device.vision.resize import resize
from pocketsight.train.recipe import Recipe

# Share of a box that must be in the window. A box with less is ignored, neither object nor background.
MIN_VISIBLE_SHARE = 0.4


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
    height, width = image.shape[:2]
    full_width = max(width, height * size[1] / size[0])  # of the smallest window that contains the image
    if recipe.full_frame and rng.random() < recipe.full_frame:
        return [0, 0, round(full_width), round(full_width * size[0] / size[1])]
    if recipe.square_window:
        window_width = min(width, height) * recipe.square_window
    else:
        window_width = full_width * math.exp(rng.uniform(*np.log(recipe.scale_range))) * input_scale
    window_height = window_width * size[0] / size[1]
    margins = width - window_width, height - window_height
    left, top = (rng.uniform(min(0, margin), max(0, margin)) for margin in margins)
    if len(boxes) and rng.random() < (recipe.object_centered if input_scale == 1 else recipe.low_res_object_centered):
        box = boxes[rng.integers(len(boxes))]
        left, top = (
            rng.uniform(far - side, near) if side > far - near else (near + far - side) / 2
            for near, far, side in ((box[0], box[2], window_width), (box[1], box[3], window_height))
        )
    right, bottom = round(left + window_width), round(top + window_height)
    return [round(left), round(top), max(right, round(left) + 1), max(bottom, round(top) + 1)]


def rotate_window(
    image: Image, boxes: Boxes, window_box: list[int], degrees: float, size: tuple[int, int]
) -> tuple[Image, Boxes]:
    """A window of the image rotated around its center by `degrees` and letterboxed to `size` (height, width).

    Returns it with the boxes (N, 4) in px of it. A rotated box is the bounding box of the rotated ellipse inscribed in
    the old one: the bounding box of the rotated corners would be too large for a face.
    """
    left, top, right, bottom = window_box
    scale = min(size[0] / (bottom - top), size[1] / (right - left))
    middle = (left + right) / 2, (top + bottom) / 2
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, degrees, scale), np.float64)
    matrix[:, 2] += np.array([(right - left) / 2 * scale, (bottom - top) / 2 * scale]) - middle
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = np.sqrt(np.square((boxes[:, 2:] - boxes[:, :2]) / 2) @ np.square(matrix[:, :2]).T)
    height, width = image.shape[:2]
    if (halvings := int(math.log2(1 / scale))) > 0:  # bilinear sampling alone would skip pixels
        image = resize(image, (-(-height >> halvings), -(-width >> halvings)))
    matrix[:, :2] *= width / image.shape[1], height / image.shape[0]
    matrix[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5  # OpenCV counts from the center of the first pixel
    canvas = cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(canvas, np.uint8), np.concatenate([center - half, center + half], axis=1).astype(np.float32)


def random_crop(
    image: Image,
    boxes: Boxes,
    ignore: Boxes,
    size: tuple[int, int],
    recipe: Recipe,
    rng: np.random.Generator,
    input_scale: float = 1.0,
) -> tuple[Image, Boxes, Boxes, NDArray[np.intp]]:
    """A random window of the image, maybe rotated and flipped, scaled to `size` (height, width).

    Returns the window, its boxes (N, 4), its boxes to ignore (M, 4), in px of the window, and which of `boxes` its
    boxes are (N,). A box that is visible by
    less than MIN_VISIBLE_SHARE becomes a box to ignore.
    """
    window = random_window(image, boxes, size, recipe, rng, input_scale)
    all_boxes = np.concatenate([boxes, ignore])
    if recipe.rotation_prob and rng.random() < recipe.rotation_prob:
        degrees = rng.uniform(-recipe.max_rotation, recipe.max_rotation)
        canvas, all_boxes = rotate_window(image, all_boxes, window, degrees, size)
    else:
        canvas, scale = letterbox(crop_window(image, *window), size)
        all_boxes = (all_boxes - np.array(window[:2] * 2, np.float32)) * np.float32(scale)
    clipped = np.minimum(np.maximum(all_boxes, 0), np.array([size[1], size[0], size[1], size[0]], np.float32))
    area = box_area(clipped)
    visible_share = area / np.maximum(box_area(all_boxes), 1e-6)
    if rng.random() < recipe.horizontal_flip:
        canvas = np.asarray(cv2.flip(canvas, 1), np.uint8)
        clipped[:, [0, 2]] = size[1] - clipped[:, [2, 0]]
    if recipe.vertical_flip and rng.random() < recipe.vertical_flip:
        canvas = np.asarray(cv2.flip(canvas, 0), np.uint8)
        clipped[:, [1, 3]] = size[0] - clipped[:, [3, 1]]
    is_object = (np.arange(len(all_boxes)) < len(boxes)) & (visible_share >= MIN_VISIBLE_SHARE)
    return canvas, clipped[is_object], clipped[~is_object & (area > 0)], np.flatnonzero(is_object)


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
