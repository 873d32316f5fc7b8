"""Every net that can be trained, with its loss and the facts that its manifest needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.train import detector, sentiment, tutorials
from pocketsight.train.backend import keras


class Arch(NamedTuple):
    """One net. `recipe.RECIPES` has its numbers, under the same name."""

    net: Callable[..., keras.Model]  # size, number of classes (not for a detector), batch
    loss: Callable[..., Any]  # targets, outputs, recipe
    strides: tuple[int, ...] = ()  # of a detector with grids
    shipped: str = ""  # the model in models/ that is this net
    pretrain: Callable[[keras.Model, Path | None], bool] | None = None  # gives the net weights to begin with


def grids(shipped: str) -> Arch:
    """A detector with three grids; the recipe says for how large a picture."""
    return Arch(detector.grids, detector.loss, detector.STRIDES, shipped)


ARCHS = {
    "detector": {
        "grid133k": grids("detector"),
        "grid133k-256": grids("detector-tiny"),
        "grid133k-512": grids("detector-large"),
        "vgg16": Arch(tutorials.vgg16, tutorials.vgg16_loss, pretrain=tutorials.pretrain),
    },
    "sentiment": {
        "crop71k": Arch(sentiment.crop71k, sentiment.loss, shipped="sentiment"),
        "crop870k": Arch(sentiment.crop870k, sentiment.loss),
        "cnn256": Arch(tutorials.cnn256, tutorials.cnn256_loss),
    },
}
