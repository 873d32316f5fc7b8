"""What a camera might have made of a training picture. All scaling goes through `pocketsight.device.image`."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np

from pocketsight.device.vision.boxes import Boxes
from pocketsight.device.vision.crop import crop_window
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.recipe import Recipe

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for a newer version

MIN_VISIBLE_SHARE = 0.4  # share of a face that must be in the window; less is ignored, neither face nor background


def build_augmentation(recipe: Recipe, is_face_crop: bool = False) -> Any:
    """An albumentations pipeline: light, colour, blur, noise, JPEG; of one face also a turn and covered parts.

    A recipe may ask for the tracker tutorial's three changes instead, or for none.
    """
    import albumentations as A

    if recipe.augmentation == "none":
        return A.Compose([])
    if recipe.augmentation == "tracker":  # each with its chance of then
        return A.Compose([A.RandomBrightnessContrast(p=0.2), A.RandomGamma(p=0.2), A.RGBShift(p=0.2)])
    small = [A.Downscale((0.35, 0.8))] if is_face_crop else []  # as far from the camera
    return A.Compose(
        [
            *(
                [
                    A.Rotate(recipe.max_rotation, p=0.7),
                    A.CoarseDropout((1, 2), (0.1, 0.35), (0.1, 0.35), p=recipe.occlusion),
                ]
                if is_face_crop
                else []
            ),
            A.RandomBrightnessContrast(recipe.max_light_change, recipe.max_light_change, p=0.5),
            A.RandomBrightnessContrast((0.0, 0.0), (-0.8, -0.4), p=recipe.darken),
            A.RandomGamma(
                (round(100 * (1 - recipe.max_light_change)), round(100 * (1 + recipe.max_light_change))), p=0.3
            ),
            A.HueSaturationValue(8, 40, 0, p=0.3),
            A.RGBShift(12, 12, 12, p=0.2),
            A.ToGray(p=recipe.grayscale),
            A.OneOf([A.GaussianBlur((3, 5)), A.MotionBlur((3, 7)), *small], p=recipe.degrade),
            A.GaussNoise(std_range=(0.01, 0.06), p=recipe.degrade),
            A.ImageCompression(quality_range=(30, 90), p=recipe.degrade),
        ]
    )


def random_window(
    image: Image,
    boxes: Boxes,
    size: tuple[int, int],
    recipe: Recipe,
    rng: np.random.Generator,
    input_scale: float = 1.0,
) -> list[int]:
    """A random window [left, top, right, bottom] with the shape of `size`, in pixels of the picture.

    It may be a part of the picture (zoom in) or reach beyond it (zoom out); sides are even in log scale. Where `size`
    is only a `part` of the net's input, each way, the window is one too, so that faces stay as large in pixels.
    """
    height, width = image.shape[:2]
    whole = max(width, height * size[1] / size[0])  # width of the frame that the picture fits into
    if recipe.full_frame and rng.random() < recipe.full_frame:
        return [0, 0, round(whole), round(whole * size[0] / size[1])]
    if recipe.square_window:
        wide = min(width, height) * recipe.square_window
    else:
        wide = whole * np.exp(rng.uniform(*np.log(recipe.scale_range))) * input_scale
    high = wide * size[0] / size[1]
    left, top = (rng.uniform(min(0, room), max(0, room)) for room in (width - wide, height - high))
    if len(boxes) and rng.random() < (recipe.object_centered if input_scale == 1 else recipe.low_res_object_centered):
        box = boxes[rng.integers(len(boxes))]
        left, top = (
            rng.uniform(far - side, near) if side > far - near else (near + far - side) / 2
            for near, far, side in ((box[0], box[2], wide), (box[1], box[3], high))
        )
    return [round(left), round(top), max(round(left + wide), round(left) + 1), max(round(top + high), round(top) + 1)]


def rotate_window(image: Image, boxes: Boxes, window_box: list[int], degrees: float) -> tuple[Image, Boxes]:
    """The window `where` of a picture that was rotated around the window's centre; boxes in the window's pixels.

    A box is that of the rotated ellipse within it, since that of its rotated corners would be too large for a face.
    """
    left, top, right, bottom = window_box
    matrix = cv2.getRotationMatrix2D(((left + right) / 2, (top + bottom) / 2), degrees, 1.0)
    matrix[:, 2] -= left, top
    piece = cv2.warpAffine(image, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = np.sqrt(np.square((boxes[:, 2:] - boxes[:, :2]) / 2) @ np.square(matrix[:, :2]).T)
    return np.asarray(piece, np.uint8), np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def random_crop(
    image: Image,
    boxes: Boxes,
    ignore: Boxes,
    size: tuple[int, int],
    recipe: Recipe,
    rng: np.random.Generator,
    input_scale: float = 1.0,
) -> tuple[Image, Boxes, Boxes]:
    """A random window of a picture, perhaps turned or mirrored, fitted to `size`; boxes in its pixels.

    A face of which less than VISIBLE is left becomes a region to ignore.
    """
    where = random_window(image, boxes, size, recipe, rng, input_scale)
    both = np.concatenate([boxes, ignore])
    if recipe.rotation_prob and rng.random() < recipe.rotation_prob:
        piece, both = rotate_window(image, both, where, rng.uniform(-recipe.max_rotation, recipe.max_rotation))
    else:
        piece, both = crop_window(image, *where), both - np.array(where[:2] * 2, np.float32)
    canvas, scale = letterbox(piece, size)
    moved = both * np.float32(scale)
    kept = np.clip(moved, 0, np.array([size[1], size[0], size[1], size[0]], np.float32))
    area = np.prod(kept[:, 2:] - kept[:, :2], axis=1)
    share = area / np.maximum(np.prod(moved[:, 2:] - moved[:, :2], axis=1), 1e-6)
    if rng.random() < recipe.horizontal_flip:
        canvas = np.ascontiguousarray(canvas[:, ::-1])
        kept[:, [0, 2]] = size[1] - kept[:, [2, 0]]
    if recipe.vertical_flip and rng.random() < recipe.vertical_flip:
        canvas = np.ascontiguousarray(canvas[::-1])
        kept[:, [1, 3]] = size[0] - kept[:, [3, 1]]
    face = (np.arange(len(both)) < len(boxes)) & (share >= MIN_VISIBLE_SHARE)
    return canvas, kept[face], kept[~face & (area > 0)]


def draw_mask(face: Image, margin: float, rng: np.random.Generator) -> Image:
    """A crop (H, W, 3) with a mask of cloth drawn over the lower half of its face: any colour, and a little shading."""
    height, width = face.shape[:2]
    low, high = margin / (1 + 2 * margin), (1 + margin) / (1 + 2 * margin)  # where the box lies in the crop

    def at(x: float, y: float) -> list[float]:
        x, y = x + rng.normal(0, 0.02), y + rng.normal(0, 0.02)
        return [(low + (high - low) * x) * width * 8, (low + (high - low) * y) * height * 8]

    top, chin, wide = rng.uniform(0.42, 0.6), rng.uniform(0.9, 1.05), rng.uniform(0.28, 0.42)
    middle = rng.normal(0.5, 0.04)
    corners = [
        at(middle - wide, top + 0.06),
        at(middle, top),
        at(middle + wide, top + 0.06),
        at(middle + wide * 0.9, chin - 0.18),
        at(middle + wide * 0.4, chin),
        at(middle - wide * 0.4, chin),
        at(middle - wide * 0.9, chin - 0.18),
    ]
    cover = np.zeros((height, width), np.uint8)
    cv2.fillPoly(cover, [np.array(corners).round().astype(np.int32)], 255, cv2.LINE_AA, shift=3)
    colour = 25 if np.ptp(face.reshape(-1, 3), axis=1).max() > 8 else 0  # a grey picture stays one
    tone = rng.uniform(0, 255) + rng.normal(0, colour, 3)
    weave = rng.normal(0, rng.uniform(1, 8), (height, width, 1))
    shade = np.linspace(-1, 1, width)[None, :, None] * rng.normal(0, 30) + weave
    share = (cover / 255.0)[..., None]
    drawn = face * (1 - share) + np.clip(tone + shade, 0, 255) * share
    return np.asarray(drawn.round(), np.uint8)
