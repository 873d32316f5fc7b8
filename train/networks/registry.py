"""Every net that can be trained, with its loss and the facts that its manifest needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.train.keras_backend import keras
from pocketsight.train.networks import classifier, detector, losses, tutorials


class Architecture(NamedTuple):
    """One net. `recipe.RECIPES` has its numbers, under the same name."""

    build: Callable[..., keras.Model]  # size, number of classes (not for a detector), batch
    loss: Callable[..., Any]  # targets, outputs, recipe
    strides: tuple[int, ...] = ()  # of a detector with grids
    shipped_model: str = ""  # the model in models/ that is this net
    load_pretrained: Callable[[keras.Model, Path | None], bool] | None = None  # gives the net weights to begin with


def grid_architecture(shipped_model: str) -> Architecture:
    """A detector with three grids; the recipe says for how large a picture."""
    return Architecture(detector.grid_detector, losses.detector_loss, detector.STRIDES, shipped_model)


ARCHITECTURES = {
    "detector": {
        "grid133k": grid_architecture("detector"),
        "grid133k-256": grid_architecture("detector-tiny"),
        "grid133k-512": grid_architecture("detector-large"),
        "vgg16": Architecture(tutorials.vgg16, losses.vgg16_loss, load_pretrained=tutorials.load_imagenet_weights),
    },
    "classifier": {
        "crop71k": Architecture(classifier.crop71k, losses.classifier_loss, shipped_model="sentiment"),
        "crop870k": Architecture(classifier.crop870k, losses.classifier_loss),
        "cnn256": Architecture(tutorials.cnn256, losses.cnn256_loss),
    },
}
