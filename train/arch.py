"""Every net that can be trained, with its loss and the facts that its manifest needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.train import detector, sentiment, tutorials
from edgekit.train.backend import keras


class Arch(NamedTuple):
    """One net. `recipe.RECIPES` has its numbers, under the same name."""

    net: Callable[..., keras.Model]  # size, number of classes (not for a detector), batch
    loss: Callable[..., Any]  # targets, outputs, recipe
    strides: tuple[int, ...] = ()  # of a detector with grids
    pretrain: Callable[[keras.Model, Path | None], bool] | None = None  # gives the net weights to begin with


ARCHS = {
    "detector": {
        "grid133k": Arch(partial(detector.grids, detector.DEFAULT), detector.loss, detector.STRIDES),
        "grid59k": Arch(partial(detector.grids, detector.TINY), detector.loss, detector.STRIDES),
        "grid320k": Arch(partial(detector.grids, detector.LARGE), detector.loss, detector.STRIDES),
        "vgg16": Arch(tutorials.vgg16, tutorials.vgg16_loss, pretrain=tutorials.pretrain),
    },
    "sentiment": {
        "crop76k": Arch(sentiment.crop76k, sentiment.loss),
        "crop80k": Arch(sentiment.crop80k, sentiment.loss),
        "cnn256": Arch(tutorials.cnn256, tutorials.cnn256_loss),
    },
}
