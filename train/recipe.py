"""How a model is trained: every number that matters, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """The same fields for both models; what only one of them uses says so."""

    samples: int  # seen in all, repeats counted; the length of a training, unless `epochs` says it
    batch_size: int  # pictures a step
    input_size: tuple[int, int]  # height and width of the net's input, pixels
    learning_rate: float  # at its highest; rises over `warmup` and falls to 0 by a cosine, unless `fall` says how
    epochs: int = 0  # passes over the training pictures
    repeats: int = 1  # augmented versions of each picture in a pass
    warmup: float = 0.03  # share of the steps
    lr_decay: float = 0.0  # share of the learning rate that is left after the first epoch; 1: it stays
    weight_decay: float = 0.01  # AdamW
    ema_momentum: float = (
        0.999  # momentum of the averaged copy of the weights, which is the one that is kept; 0: none is
    )
    seed: int = 0
    val_fraction: float = 0.1  # share of the data kept for validation where the data does not name its own
    augmentation: str = (
        "camera"  # changes of light and quality: as a camera makes them, as the "tracker" has, or "none"
    )
    horizontal_flip: float = 0.5  # chance of a mirror image
    vertical_flip: float = 0.0  # chance of a picture upside down
    grayscale: float = 0.25  # chance of losing all colour
    max_light_change: float = 0.35  # largest relative change of brightness, contrast and gamma
    darken: float = 0.1  # chance of a picture as in the evening
    degrade: float = 0.25  # chance of each of blur, noise and JPEG traces
    max_rotation: float = 14.0  # largest rotation, degrees
    # detector
    scale_range: tuple[float, float] = (0.35, 1.6)  # width of the random window, in widths of the whole picture's frame
    square_window: float = 0.0  # side of a square window, in the picture's shorter sides, instead of zoom
    full_frame: float = 0.0  # chance that the whole picture is the window, as on the board
    negative_share: float = 0.1  # share of the pictures drawn from those without a face
    object_centered: float = 0.3  # chance that the window is laid around a face, so that small ones are not lost
    low_res_share: float = (
        0.0  # share of the training, its beginning, on windows of half the height and width, which cost less
    )
    low_res_object_centered: float = 0.65  # `focus` of those
    rotation_prob: float = 0.0  # chance of a rotation
    box_loss_weight: float = 2.0  # weight of the boxes against the scores
    # sentiment
    max_shift: float = 0.08  # largest shift of the crop, in its sides, as the detector errs
    max_scale_change: float = 0.14  # largest relative change of the crop's side
    label_smoothing: float = 0.03  # probability taken from the label and spread over all classes
    occlusion: float = 0.3  # chance that a part of the face is hidden
    mask_prob: float = 0.0  # chance that a mask is drawn over it, where there is a class for those
    align_faces: bool = False  # faces are cut where the detector finds them; else the picture is the face
    crop_margin: float = 0.14  # around the box on each side, in its longer sides: what the board cuts
    distill_weight: float = 0.7  # share of the teacher's odds in the targets, where there is one


DETECTOR_RECIPE = Recipe(  # a frame of 320x240 as it is, and 16 rows to spare
    samples=1_000_000,
    batch_size=32,
    input_size=(256, 320),
    learning_rate=2e-3,
    rotation_prob=0.3,
    max_rotation=20.0,
    low_res_share=0.75,
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

# The two tutorials. What one left to chance or got wrong, and what is done here, stands in README.md.
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

RECIPES = {  # by task and net; the first is the default
    "detector": {
        "grid133k": DETECTOR_RECIPE,
        "grid133k-256": replace(
            DETECTOR_RECIPE, samples=120_000, input_size=(192, 256), learning_rate=1e-3, low_res_share=0.5
        ),
        "grid133k-512": replace(
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
