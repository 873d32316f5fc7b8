"""Augmentation: an image as an old, printed or badly scanned photograph.

Each step is a table or a pass of OpenCV over bytes. Tiles of grain and screens are made once.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.image import Image

Pixels = NDArray[np.uint8]  # (H, W) gray or (H, W, 3) RGB

TILE_SIDE = 1024  # px of the tiles from which grain and screens are cut
NOISE_DEVIATION = 32  # of the tile of grain, around 128
SCREENS = 12  # tiles of printing screens


def old_photograph(image: Image, rng: np.random.Generator) -> Image:
    """The image (H, W, 3) as a photograph on paper: gray or faded, with grain, scratches, a halftone, JPEG blocks.

    The tone curve always changes, everything else at random.
    """
    is_gray = rng.random() < 0.8
    pixels: Pixels = mix_channels(image, rng) if is_gray else image
    if rng.random() < 0.3:
        blurred = cv2.blur(pixels, (3, 3))
        sharpness = rng.uniform(0.5, 2.5) if rng.random() < 0.4 else -1.0
        pixels = np.asarray(cv2.addWeighted(pixels, 1 + sharpness, blurred, -sharpness, 0), np.uint8)
    pixels = np.asarray(cv2.LUT(pixels, tone_curve(rng)), np.uint8)
    if rng.random() < 0.3:
        pixels = vignette(pixels, rng)
    if rng.random() < 0.15:
        pixels = halftone(pixels, rng)
    elif rng.random() < 0.6:
        pixels = film_grain(pixels, rng)
    if rng.random() < 0.2:
        pixels = scratches(pixels, rng)
    if is_gray:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
        if rng.random() < 0.4:
            pixels = np.asarray(cv2.LUT(pixels, tint(rng)), np.uint8)
    if rng.random() < 0.25:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(8, 40))])
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return pixels


def mix_channels(image: Image, rng: np.random.Generator) -> Pixels:
    """(H, W): by brightness, or by a random share of each color, as an early film or an infrared camera sees it."""
    shares = (0.299, 0.587, 0.114) if rng.random() < 0.5 else rng.dirichlet((1.0, 1.0, 1.0))
    return np.asarray(cv2.transform(image, np.array([shares], np.float32)), np.uint8)


def tone_curve(rng: np.random.Generator) -> NDArray[np.uint8]:
    """(256,): a table of exposure, gamma and contrast; black and white may have faded to gray."""
    levels = np.arange(256) / 255
    if rng.random() < 0.5:
        levels = np.minimum(levels * np.exp(rng.uniform(-0.5, 0.7)), 1)  # overexposed areas lose their detail
    levels = levels ** np.exp(rng.uniform(-0.5, 0.5))
    if rng.random() < 0.3:  # a film of high contrast
        levels = 1 / (1 + np.exp(rng.uniform(4, 10) * (rng.uniform(0.35, 0.65) - levels)))
    black, white = (rng.uniform(0, 0.3), rng.uniform(0.6, 1)) if rng.random() < 0.5 else (0, 1)
    return np.asarray((black + (white - black) * levels) * 255, np.uint8)


def tint(rng: np.random.Generator) -> NDArray[np.uint8]:
    """(256, 3): a table that colors gray: brown as sepia, or slightly red, green or blue."""
    paper = np.array([1.0, rng.uniform(0.8, 1), rng.uniform(0.55, 0.9)])
    paper = paper if rng.random() < 0.7 else rng.uniform(0.8, 1, 3)
    return np.asarray(np.arange(256)[:, None] * paper, np.uint8)[None]


def film_grain(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The image with noise of a deviation of 3 to 22, in grains of 1 or 2 pixels."""
    return _add_pattern(pixels, _noise_tile(int(rng.integers(1, 3))), rng.uniform(3, 22) / NOISE_DEVIATION, rng)


def halftone(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The image as dots of a printing screen of 2 to 4 pixels, slightly blurred, as a scanner does."""
    dots = _add_pattern(pixels, _screen_tile(int(rng.integers(SCREENS))), rng.uniform(0.3, 0.8), rng)
    return np.asarray(cv2.GaussianBlur(dots, (3, 3), rng.uniform(0.3, 0.8)), np.uint8)


def vignette(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The image with corners that are darker, by up to three quarters."""
    table = 255 - np.arange(256) * rng.uniform(0.15, 0.75)
    light = np.asarray(cv2.LUT(_squared_radius(*pixels.shape[:2]), table.astype(np.uint8)), np.uint8)
    return np.asarray(cv2.multiply(pixels, _with_channels(light, pixels), scale=1 / 255), np.uint8)


def scratches(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A copy with up to five thin light or dark lines and specks."""
    height, width = pixels.shape[:2]
    pixels = pixels.copy()
    for _ in range(int(rng.integers(1, 6))):
        start, end = rng.integers((0, 0), (width, height), (2, 2)).tolist()
        if rng.random() < 0.5:  # a speck
            end = [start[0] + int(rng.integers(3)), start[1] + int(rng.integers(3))]
        cv2.line(pixels, start, end, (float(rng.choice((10, 245))),) * 3, int(rng.integers(1, 3)), cv2.LINE_AA)
    return pixels


@lru_cache(maxsize=2)
def _noise_tile(grain_size: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 1, (TILE_SIDE, TILE_SIDE)).astype(np.float32)
    noise = np.asarray(cv2.blur(noise, (grain_size, grain_size)), np.float32)
    return np.asarray(np.clip(128 + noise * (NOISE_DEVIATION / noise.std()), 0, 255), np.uint8)


@lru_cache(maxsize=SCREENS)
def _screen_tile(number: int) -> NDArray[np.uint8]:
    """One of the printing screens, which have different angles and periods."""
    rng = np.random.default_rng(number)
    angle, wave = rng.uniform(0, np.pi / 2), 2 * np.pi / rng.uniform(2, 4)
    y, x = np.ogrid[:TILE_SIDE, :TILE_SIDE]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.asarray(128 + 127 * np.cos(wave * along) * np.cos(wave * across), np.uint8)


@lru_cache(maxsize=16)
def _squared_radius(height: int, width: int) -> NDArray[np.uint8]:
    """(H, W): 0 in the center, 255 in the corners."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    return np.asarray(255 * (x * x + y * y) / 2, np.uint8)


def _add_pattern(pixels: Pixels, tile: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> Pixels:
    """Add `strength` times a random part of a tile around 128, magnified for images larger than the tile."""
    height, width = pixels.shape[:2]
    top, left = (int(rng.integers(max(1, TILE_SIDE - side))) for side in (height, width))
    pattern = tile[top : top + height, left : left + width]
    if pattern.shape != (height, width):
        pattern = np.asarray(cv2.resize(pattern, (width, height)), np.uint8)
    pattern = _with_channels(pattern, pixels)
    return np.asarray(cv2.addWeighted(pixels, 1, pattern, strength, -128 * strength), np.uint8)


def _with_channels(plane: NDArray[np.uint8], pixels: Pixels) -> NDArray[np.uint8]:
    """The plane (H, W) with as many channels as `pixels`."""
    return plane if pixels.ndim == 2 else np.repeat(plane[..., None], pixels.shape[2], axis=2)
