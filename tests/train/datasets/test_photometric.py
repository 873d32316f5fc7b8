"""Changes of light and quality against those of albumentations, whose names, order and ranges they have."""

from dataclasses import replace
from typing import Any

import albumentations as A
import albumentations.augmentations.pixel.functional as reference
import numpy as np
import pytest

from pocketsight.device.vision.image import Image
from pocketsight.train.datasets import photometric
from pocketsight.train.recipe import CLASSIFIER_RECIPE, DETECTOR_RECIPE, Recipe
from tests.support.images import scene

IMAGE = scene(3, (48, 64))


def albumentations_pipeline(recipe: Recipe, is_face_crop: bool) -> A.Compose:
    light, gamma = recipe.max_light_change, (100 * (1 - recipe.max_light_change), 100 * (1 + recipe.max_light_change))
    occlusion = A.CoarseDropout((1, 2), (0.1, 0.35), (0.1, 0.35), p=recipe.occlusion)
    pipeline = A.Compose(
        [
            *([A.Rotate(recipe.max_rotation, p=0.7), occlusion] if is_face_crop else []),
            A.RandomBrightnessContrast(light, light, p=0.5),
            A.RandomBrightnessContrast((0.0, 0.0), (-0.8, -0.4), p=recipe.darken),
            A.RandomGamma(gamma, p=0.3),
            A.HueSaturationValue(8, 40, 0, p=0.3),
            A.RGBShift(12, 12, 12, p=0.2),
            A.ToGray(p=recipe.grayscale),
            A.OneOf(
                [A.GaussianBlur((3, 5)), A.MotionBlur((3, 7)), *([A.Downscale((0.35, 0.8))] if is_face_crop else [])],
                p=recipe.degrade,
            ),
            A.GaussNoise(std_range=(0.01, 0.06), p=recipe.degrade),
            A.ImageCompression(quality_range=(30, 90), p=recipe.degrade),
        ]
    )
    for number, transform in enumerate(pipeline.transforms):  # by itself Compose gives all transforms the same seed
        transform.set_random_seed(number)
    return pipeline


def describe(image: Image) -> list[float]:
    """Brightness, contrast, color, detail, black, and whether it is changed, gray."""
    pixels = image.astype(np.float32)
    color = np.ptp(pixels, axis=2).mean()
    detail = np.abs(np.diff(pixels, axis=1)).mean()
    return [
        pixels.mean(),
        pixels.std(),
        color,
        detail,
        float((image == 0).all(2).mean()),
        float((image != IMAGE).any()),
        float(color == 0),
    ]


def assert_same_distribution(ours: list[Image], theirs: list[Image]) -> None:
    """Means and standard deviations of all figures are equal within 4.5 standard errors."""
    a, b = (np.array([describe(image) for image in images]) for images in (ours, theirs))
    error = np.sqrt((a.var(0) + b.var(0)) / len(a)) + 1e-9
    assert (np.abs(a.mean(0) - b.mean(0)) / error).max() < 4.5
    squares_a, squares_b = np.square(a - a.mean(0)), np.square(b - b.mean(0))
    error = np.sqrt((squares_a.var(0) + squares_b.var(0)) / len(a)) + 1e-9
    assert (np.abs(squares_a.mean(0) - squares_b.mean(0)) / error).max() < 4.5


OFF = {"max_light_change": 0.0, "darken": 0.0, "grayscale": 0.0, "degrade": 0.0, "occlusion": 0.0}


@pytest.mark.parametrize("is_face_crop", [False, True])
@pytest.mark.parametrize("changes", [{}, {**OFF, "degrade": 1.0}, {**OFF, "darken": 0.5, "max_light_change": 0.35}])
def test_images_change_as_much_as_those_of_albumentations(is_face_crop: bool, changes: dict[str, Any]) -> None:
    recipe = replace(CLASSIFIER_RECIPE if is_face_crop else DETECTOR_RECIPE, **changes)
    effect = photometric.build_augmentation(recipe, is_face_crop)
    pipeline = albumentations_pipeline(recipe, is_face_crop)
    rng = np.random.default_rng(0)
    ours = [effect(IMAGE, rng) for _ in range(500)]
    assert_same_distribution(ours, [pipeline(image=IMAGE)["image"] for _ in range(500)])


def test_a_difference_would_be_noticed() -> None:
    pipeline = albumentations_pipeline(DETECTOR_RECIPE, False)
    effect, rng = photometric.build_augmentation(replace(DETECTOR_RECIPE, darken=0.3)), np.random.default_rng(0)
    with pytest.raises(AssertionError):
        assert_same_distribution(
            [effect(IMAGE, rng) for _ in range(500)], [pipeline(image=IMAGE)["image"] for _ in range(500)]
        )


@pytest.mark.parametrize("saturation", [-30.0, 25.0])
def test_single_changes_give_the_pixels_of_albumentations(saturation: float) -> None:
    image = IMAGE.copy()
    image[:8] = image[:8, :, :1]  # gray
    np.testing.assert_allclose(
        photometric._shift_hue(image, -5.5, saturation), reference.shift_hsv(image, -5.5, saturation, 0), rtol=0, atol=3
    )
    gamma = photometric._apply_table(image, photometric._gamma_table(photometric.IDENTITY, 1.3))
    np.testing.assert_allclose(gamma.astype(int), reference.gamma_transform(image, 1.3).astype(int), rtol=0, atol=1)
    artifacts = photometric._add_jpeg_artifacts(image, 40)
    assert (artifacts == reference.image_compression(image, 40, ".jpg")).all()


def test_noise_has_the_given_deviation_and_is_another_each_time() -> None:
    gray, rng = np.full((64, 64, 3), 128, np.uint8), np.random.default_rng(0)
    first, second = (photometric._add_noise(gray, 10.0, rng).astype(float) for _ in range(2))
    assert abs(first.std() - 10) < 0.3 and abs(first.mean() - 127.5) < 0.5
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_the_same_rng_gives_the_same_image_and_the_input_stays() -> None:
    effect, before = photometric.build_augmentation(CLASSIFIER_RECIPE, is_face_crop=True), IMAGE.copy()
    for seed in range(40):
        a, b = (effect(IMAGE, np.random.default_rng(seed)) for _ in range(2))
        assert (a == b).all() and a.shape == IMAGE.shape
    assert (before == IMAGE).all()
