"""Images with the look of old or printed photographs."""

import numpy as np
import pytest

from pocketsight.device.inference.shipped import EXAMPLE_IMAGE
from pocketsight.device.vision.image import Image, read_image
from pocketsight.train.datasets import photographs

IMAGE = read_image(EXAMPLE_IMAGE)[:120, :160]


def correlation(a: Image, b: Image) -> float:
    return float(np.corrcoef(a.mean(-1).ravel(), b.mean(-1).ravel())[0, 1])


def test_a_photograph_keeps_size_and_content_and_depends_on_the_generator_only() -> None:
    before, looks = IMAGE.copy(), []
    for seed in range(60):
        aged = photographs.old_photograph(IMAGE, np.random.default_rng(seed))
        assert aged.shape == IMAGE.shape and aged.dtype == np.uint8
        assert np.array_equal(aged, photographs.old_photograph(IMAGE, np.random.default_rng(seed)))
        looks.append(correlation(aged, IMAGE))
    assert np.array_equal(IMAGE, before)
    assert min(looks) > 0.3 and np.median(looks) > 0.8


def test_gray_and_brown_photographs_and_some_in_color() -> None:
    aged = [photographs.old_photograph(IMAGE, np.random.default_rng(seed)).astype(int) for seed in range(100)]
    gray = sum(np.ptp(image, axis=-1).max() <= 12 for image in aged)
    brown = sum((image[..., 0] - image[..., 2]).mean() > 8 for image in aged)
    assert 30 < gray < 75 and brown > 10


def test_the_tone_curve_never_falls() -> None:
    for seed in range(50):
        curve = photographs.tone_curve(np.random.default_rng(seed)).astype(int)
        assert curve.shape == (256,) and (np.diff(curve) >= 0).all() and np.ptp(curve) > 60


@pytest.mark.parametrize("size", [(48, 64), (48, 64, 3), (1100, 8)])
def test_grain_keeps_the_mean_of_gray_and_color_images_of_any_size(size: tuple[int, ...]) -> None:
    plain = np.full(size, 128, np.uint8)
    grainy = photographs.film_grain(plain, np.random.default_rng(1)).astype(float)
    assert grainy.shape == size and abs(grainy.mean() - 128) < 3 and 2 < grainy.std() < 24


def test_a_halftone_has_dots_and_a_vignette_dark_corners() -> None:
    plain = np.full((60, 80), 128, np.uint8)
    assert photographs.halftone(plain, np.random.default_rng(0)).std() > 5
    dark = photographs.vignette(plain, np.random.default_rng(0))
    assert dark[30, 40] >= 126 and dark[0, 0] < 110
