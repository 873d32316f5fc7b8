"""Light and image quality of augmented images: a few passes over the pixels for all changes of an image.

The changes, their order and ranges are those of albumentations' transforms of the same names. All changes of tone
(brightness, contrast, gamma, shift of the channels) are joined in one lookup table. Noise and the kernels of motion
come from tables.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import cv2
import numpy as np
import stringzilla
from numpy.typing import NDArray

from pocketsight.device.vision.image import Image
from pocketsight.train.recipe import Recipe

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would check for a newer version online

PhotoEffect = Callable[[Image, np.random.Generator], Image]
Table = NDArray[np.uint8]  # (256,) or (3, 256): the new value of each value, of all channels or of each

IDENTITY: Table = np.arange(256, dtype=np.uint8)
MOTION_KERNELS = 2048
NOISE_DEVIATION = 32  # of the table of noise
NOISE_VALUES = 1 << 21  # of the table: more than any image of a network here, so that no image repeats itself


def build_augmentation(recipe: Recipe, is_face_crop: bool = False) -> PhotoEffect:
    """The function (image, rng) -> image that `recipe.augmentation` selects: "camera", "tracker" or "none".

    "camera": light, color, blur, noise, JPEG artifacts; for face crops also rotation and hidden regions. "tracker": the
    three changes of the tutorial.
    """
    if recipe.augmentation == "none":
        return keep_image
    if recipe.augmentation == "tracker":
        return partial(_apply_tracker_pipeline, _tracker_pipeline())
    return partial(distort_face_crop if is_face_crop else distort_photo, recipe)


def keep_image(image: Image, rng: np.random.Generator) -> Image:
    """The effect "none"."""
    return image


def _tracker_pipeline() -> Any:
    import albumentations as A

    # The probabilities of the tutorial
    return A.Compose([A.RandomBrightnessContrast(p=0.2), A.RandomGamma(p=0.2), A.RGBShift(p=0.2)])


def _apply_tracker_pipeline(pipeline: Any, image: Image, rng: np.random.Generator) -> Image:
    # Not its own seed: that gives every transform the same numbers, so that all change an image or none.
    pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    return np.asarray(pipeline(image=image)["image"], np.uint8)


def distort_face_crop(recipe: Recipe, image: Image, rng: np.random.Generator) -> Image:
    """A face crop (H, W, 3), maybe rotated, partly hidden, and changed as by `distort_photo`."""
    if rng.random() < 0.7:
        image = _rotate(image, rng.uniform(-recipe.max_rotation, recipe.max_rotation))
    if rng.random() < recipe.occlusion:
        image = _hide_regions(image, rng)
    return distort_photo(recipe, image, rng, is_face_crop=True)


def distort_photo(recipe: Recipe, image: Image, rng: np.random.Generator, is_face_crop: bool = False) -> Image:
    """An image (H, W, 3) in another light, with another color, and taken by a worse camera. The input is kept."""
    light, dark, gamma, hue, shift, gray, blur, noise, artifacts = rng.random(9).tolist()
    strength = recipe.max_light_change
    table = IDENTITY
    if light < 0.5:
        contrast, brightness = rng.uniform(-strength, strength, 2)
        table = _linear_table(table, 1 + contrast, 255 * brightness)
    if dark < recipe.darken:
        table = _linear_table(table, rng.uniform(0.2, 0.6), 0.0)
    if gamma < 0.3:
        table = _gamma_table(table, rng.uniform(1 - strength, 1 + strength))
    if hue < 0.3:
        image = _shift_hue(_apply_table(image, table), rng.uniform(-8, 8), rng.uniform(-40, 40))
        table = IDENTITY
    if shift < 0.2:
        table = _cut(table + np.trunc(rng.uniform(-12, 12, (3, 1))))
    image = _apply_table(image, table)
    if gray < recipe.grayscale:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)  # type: ignore[assignment]
    if blur < recipe.degrade:
        image = _blur(image, rng, is_face_crop)
    if noise < recipe.degrade:
        image = _add_noise(image, 255 * rng.uniform(0.01, 0.06), rng)
    if artifacts < recipe.degrade:
        image = _add_jpeg_artifacts(image, int(rng.integers(30, 91)))
    return image


def _linear_table(table: Table, factor: float, offset: float) -> Table:
    return _cut(table * np.float32(factor) + np.float32(offset))


def _cut(values: NDArray[Any]) -> Table:
    return np.asarray(np.minimum(np.maximum(values, 0), 255), np.uint8)


def _gamma_table(table: Table, gamma: float) -> Table:
    return np.asarray(((table / 255) ** gamma * 255).astype(np.uint8))


def _apply_table(image: Image, table: Table) -> Image:
    if table is IDENTITY:
        return image
    if table.ndim == 2:
        return _apply_channel_tables(image, table)
    image = image.copy()
    stringzilla.translate(image.data, table.data, inplace=True)  # in a quarter of the time of cv2.LUT
    return image


def _apply_channel_tables(image: Image, tables: Table) -> Image:
    """The image with a table (256,) for each of its first channels."""
    planes = cv2.split(image)
    for plane, table in zip(planes, tables, strict=False):
        stringzilla.translate(plane.data, table.data, inplace=True)
    return np.asarray(cv2.merge(planes), np.uint8)


def _shift_hue(image: Image, hue: float, saturation: float) -> Image:
    """Shift the hue (half degrees) and the saturation (of 255). Gray pixels stay gray."""
    tables = np.stack([np.mod(IDENTITY + hue, 180).astype(np.uint8), _cut(IDENTITY + np.float32(saturation))])
    tables[1, 0] = 0
    hsv = _apply_channel_tables(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), tables)  # type: ignore[arg-type]
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def _blur(image: Image, rng: np.random.Generator, is_face_crop: bool) -> Image:
    """One of: out of focus, in motion; for face crops also: far from the camera."""
    kind = rng.integers(3 if is_face_crop else 2)
    if kind == 0:
        size = 3 if rng.random() < 1 / 3 else 5
        kernel = cv2.getGaussianKernel(size, rng.uniform(0.5, 3.0), cv2.CV_32F)
        return np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel), np.uint8)
    if kind == 1:
        return np.asarray(cv2.filter2D(image, -1, motion_kernels()[rng.integers(MOTION_KERNELS)]), np.uint8)
    scale = rng.uniform(0.35, 0.8)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


@lru_cache(maxsize=1)
def motion_kernels() -> list[NDArray[np.float32]]:
    """MOTION_KERNELS lines of random length, direction and place in squares of 3, 5 or 7 px; the sum of each is 1."""
    rng = np.random.default_rng(0)
    return [_draw_motion(3 + 2 * int(rng.integers(3)), rng) for _ in range(MOTION_KERNELS)]


def _draw_motion(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    angle, direction = rng.uniform(0, 2 * math.pi), rng.uniform(-1, 1)
    reach = size // 2
    along = np.linspace(-reach * (1 - max(direction, 0)), reach * (1 + min(direction, 0)), size)
    shift_x, shift_y = rng.uniform(-reach / 2, reach / 2, 2)
    x, y = reach + math.cos(angle) * along + shift_x, reach + math.sin(angle) * along + shift_y
    kernel = np.zeros((size, size), np.float32)
    kernel[np.clip(np.rint(y), 0, size - 1).astype(int), np.clip(np.rint(x), 0, size - 1).astype(int)] = 1
    return np.asarray(kernel / kernel.sum(), np.float32)


@lru_cache(maxsize=1)
def _noise_table() -> NDArray[np.uint8]:
    """128 + NOISE_DEVIATION times normal values, the same in every process. Bytes are added in half of the time."""
    normal = np.random.default_rng(0).standard_normal(NOISE_VALUES, np.float32)
    return _cut(np.rint(128 + NOISE_DEVIATION * normal))


def _add_noise(image: Image, deviation: float, rng: np.random.Generator) -> Image:
    """The image with normal noise, from a random place of the table. Values are cut, not rounded."""
    table = _noise_table()
    noise = table[int(rng.integers(max(1, table.size - image.size))) :][: image.size]
    noise = np.resize(noise, image.shape) if noise.size < image.size else noise.reshape(image.shape)
    scale = deviation / NOISE_DEVIATION
    return np.asarray(cv2.addWeighted(image, 1, noise, scale, -128 * scale - 0.5), np.uint8)


def _add_jpeg_artifacts(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _rotate(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR), np.uint8)


def _hide_regions(image: Image, rng: np.random.Generator) -> Image:
    """One or two black rectangles, whose sides are 0.1 to 0.35 of those of the image."""
    image = image.copy()
    for _ in range(rng.integers(1, 3)):
        height, width = (int(side * rng.uniform(0.1, 0.35)) for side in image.shape[:2])
        top, left = rng.integers(image.shape[0] - height + 1), rng.integers(image.shape[1] - width + 1)
        image[top : top + height, left : left + width] = 0
    return image
