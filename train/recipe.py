"""Recipes: all hyperparameters of a training, in one place. Manifests store them under `training.recipe`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters. Both tasks use the fields of the first block.

    Manifests of version 0.1 have other field names: pocketsight.device.inference.legacy_manifest translates them.
    """

    samples: int  # length of the training in images, repeats counted, unless `epochs` is given
    batch_size: int  # images in one step
    input_size: tuple[int, int]  # height, width of the network's input, px
    learning_rate: float  # the maximum: it rises during `warmup` and decays to 0 by a cosine, unless `lr_decay` is set
    epochs: int = 0  # passes over the training images
    repeats: int = 1  # augmented versions of each image in one pass
    warmup: float = 0.03  # share of the steps
    lr_decay: float = 0.0  # the learning rate after the first epoch, relative to the initial one; 1: constant
    weight_decay: float = 0.01  # of AdamW
    ema_momentum: float = 0.999  # of the moving average of the weights, which is what is saved; 0: no average
    seed: int = 0
    val_fraction: float = 0.1  # share of the data held out for validation if it has no val split
    augmentation: str = "camera"  # light and image quality: "camera", "tracker" (as in the tutorial) or "none"
    horizontal_flip: float = 0.5  # probability
    vertical_flip: float = 0.0  # probability
    grayscale: float = 0.25  # probability
    max_light_change: float = 0.35  # largest relative change of brightness, contrast and gamma
    darken: float = 0.1  # probability of an image as in the evening
    degrade: float = 0.25  # probability of each of blur, noise and JPEG artifacts
    max_rotation: float = 14.0  # degrees
    # Detector
    scale_range: tuple[float, float] = (0.35, 1.6)  # width of the random window, relative to the whole frame
    square_window: float = 0.0  # side of a square window, relative to the shorter side; replaces `scale_range`
    full_frame: float = 0.0  # probability that the window is the whole image, as on the board
    negative_share: float = 0.1  # share of the samples without an object
    source_balance: float = 0.0  # 0: sources are drawn by their number of faces; 1: all equally often
    mosaic_prob: float = 0.0  # probability that four images share the frame, each of half its size
    photograph_prob: float = 0.0  # probability of the look of an old or printed photograph
    object_centered: float = 0.3  # probability that the window contains a chosen object, for small ones
    low_res_share: float = 0.0  # first share of the training, with windows of half the height and width: faster
    low_res_object_centered: float = 0.65  # `object_centered` of that share
    rotation_prob: float = 0.0
    box_loss_weight: float = 2.0  # relative to the loss of the scores
    # Classifier
    max_shift: float = 0.08  # largest shift of the crop, relative to its side: the error of a detector
    max_scale_change: float = 0.14  # largest relative change of the crop's side
    label_smoothing: float = 0.03  # probability taken from the label and spread over all classes
    occlusion: float = 0.3  # probability that a region of the face is hidden
    mask_prob: float = 0.0  # probability of a drawn mask, if the data has a class for masked faces
    align_faces: bool = False  # crop the face that the detector finds; else the image is the crop
    crop_margin: float = 0.14  # around the box on each side, relative to its longer side; the same on the board
    distill_weight: float = 0.7  # share of the teacher's probabilities in the targets, if there is a teacher


# Pixels between the cells of the grids of a detector.
DETECTOR_STRIDES = 8, 16, 32

# The camera's frame of 320x240 at 1.2 times its size, without padding.
DETECTOR_RECIPE = Recipe(
    samples=1_000_000,
    batch_size=32,
    input_size=(288, 384),
    learning_rate=2e-3,
    rotation_prob=0.3,
    max_rotation=20.0,
    scale_range=(0.35, 2.2),
    grayscale=0.35,
    photograph_prob=0.15,
    mosaic_prob=0.15,
    source_balance=0.2,
    low_res_share=0.6,
)
CLASSIFIER_RECIPE = Recipe(
    samples=1_500_000,
    batch_size=64,
    input_size=(64, 64),
    learning_rate=2e-3,
    ema_momentum=0.9995,
    weight_decay=0.05,
    degrade=0.12,
    max_rotation=10.0,
    max_shift=0.05,
    max_scale_change=0.1,
    occlusion=0.15,
    mask_prob=0.06,
    align_faces=True,
    crop_margin=0.04,
)

# The two tutorials; TUTORIALS.md compares them with their models.
NO_REGULARIZATION: dict[str, Any] = dict.fromkeys(
    ("warmup", "weight_decay", "ema_momentum", "label_smoothing", "occlusion"), 0.0
)
CNN256_RECIPE = Recipe(
    samples=0,
    epochs=20,
    batch_size=32,
    input_size=(256, 256),
    learning_rate=1e-3,
    lr_decay=1.0,
    augmentation="none",
    horizontal_flip=0.0,
    max_shift=0.0,
    max_scale_change=0.0,
    max_rotation=0.0,
    **NO_REGULARIZATION,
)
VGG16_RECIPE = Recipe(
    samples=0,
    epochs=10,
    repeats=60,
    batch_size=8,
    input_size=(120, 120),
    learning_rate=1e-4,
    lr_decay=0.75,
    augmentation="tracker",
    vertical_flip=0.5,
    square_window=450 / 480,
    full_frame=0.5,
    object_centered=0.0,
    box_loss_weight=1.0,
    **NO_REGULARIZATION,
)

MIN_SAMPLES, SAMPLES_PER_IMAGE = 20_000, 100


def samples_for_few(image_count: int) -> int:
    """A length for a training on few images, where that of the recipe would only repeat them."""
    return max(MIN_SAMPLES, SAMPLES_PER_IMAGE * image_count)


# Task -> architecture -> recipe. The first architecture is the default.
RECIPES = {
    "detector": {
        "grid141k": DETECTOR_RECIPE,
        "grid141k-256": replace(
            DETECTOR_RECIPE, samples=120_000, input_size=(192, 256), learning_rate=1e-3, low_res_share=0.5
        ),
        "grid141k-512": replace(
            DETECTOR_RECIPE, samples=200_000, input_size=(384, 512), learning_rate=1e-3, low_res_share=0.8
        ),
        "vgg16": VGG16_RECIPE,
    },
    "classifier": {
        "crop71k": CLASSIFIER_RECIPE,
        "crop870k": replace(CLASSIFIER_RECIPE, samples=900_000),
        "cnn256": CNN256_RECIPE,
    },
}
