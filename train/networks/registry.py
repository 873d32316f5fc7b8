"""All network architectures, with their losses. `train --arch` names one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.train.keras_backend import keras
from pocketsight.train.networks import classifier, detector, losses, tutorials
from pocketsight.train.recipe import DETECTOR_STRIDES


class Architecture(NamedTuple):
    """One architecture. `recipe.RECIPES` has its hyperparameters, under the same name."""

    build: Callable[..., keras.Model]  # input size, number of labels, batch size
    loss: Callable[..., Any]  # targets, outputs, recipe -> a scalar, or a dict of the parts below
    loss_parts: tuple[str, ...] = ()
    strides: tuple[int, ...] = ()  # of the grids of a detector; (): it finds one box
    shipped_model: str = ""  # the model in models/ with this architecture
    load_pretrained: Callable[[keras.Model, Path | None], bool] | None = None  # from a file, or downloaded


BOX_LOSSES = "score", "box"


def grid_architecture(shipped_model: str) -> Architecture:
    """A detector with three grids; its input size is in the recipe."""
    return Architecture(detector.grid_detector, losses.detector_loss, BOX_LOSSES, DETECTOR_STRIDES, shipped_model)


ARCHITECTURES = {
    "detector": {
        "grid141k": grid_architecture("detector"),
        "grid141k-256": grid_architecture("detector-tiny"),
        "grid141k-512": grid_architecture("detector-large"),
        "vgg16": Architecture(
            tutorials.vgg16, losses.vgg16_loss, BOX_LOSSES, load_pretrained=tutorials.load_imagenet_weights
        ),
    },
    "classifier": {
        "crop71k": Architecture(classifier.crop71k, losses.classifier_loss, shipped_model="sentiment"),
        "crop870k": Architecture(classifier.crop870k, losses.classifier_loss),
        "cnn256": Architecture(tutorials.cnn256, losses.cnn256_loss),
    },
}
