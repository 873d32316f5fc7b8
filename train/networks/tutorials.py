"""The nets of the two tutorials that this project grew from: `cnn256` tells happy from sad, `vgg16` finds one face.

What each tutorial chose beside its net stands in its recipe; README.md walks both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.train.keras_backend import keras

layers, ops = keras.layers, keras.ops

IMAGENET_BGR_MEAN = (
    103.939,
    116.779,
    123.68,
)  # of ImageNet's pixels in B, G, R: what VGG16's weights expect to be subtracted


def cnn256(size: tuple[int, int], classes: int, batch: int | None = None) -> keras.Model:
    """3,696,625 parameters: (B, 256, 256, 3) 0..255 in; score (B, 1) of the second of two classes out."""
    if classes != 2:
        raise DataError(f"cnn256 tells two classes apart, not {classes}; choose two by --classes, or another --arch")
    pixels = keras.Input(batch_shape=(batch, *size, 3), name="image")
    x = layers.Rescaling(1 / 255)(pixels)
    for filters in (16, 32, 16):
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 3, activation="relu")(x))
    x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    return keras.Model(pixels, {"score": layers.Dense(1, activation="sigmoid", name="score", dtype="float32")(x)})


def vgg16(size: tuple[int, int], batch: int | None = None) -> keras.Model:
    """16,826,181 parameters: (B, 120, 120, 3) 0..255 in; score (B, 1), and box (B, 4) in shares of the input, out.

    The convolutions of VGG16 (arXiv 1409.1556), the largest value of each map, and two heads.
    """
    pixels = keras.Input(batch_shape=(batch, *size, 3), name="image")
    x = layers.Rescaling(1 / 255)(pixels)
    for block, (filters, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for number in range(1, depth + 1):
            x = layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_uniform",
                name=f"block{block}_conv{number}",
            )(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(layers.MaxPooling2D(x.shape[1:3])(x))  # as GlobalMaxPooling2D, but int8 has this operator
    outputs = {
        name: layers.Dense(count, activation="sigmoid", name=name, dtype="float32")(
            layers.Dense(2048, activation="relu")(x)
        )
        for name, count in (("score", 1), ("box", 4))
    }
    return keras.Model(pixels, outputs)


def load_imagenet_weights(net: keras.Model, weights: Path | None) -> bool:
    """Give `vgg16` the convolutions of VGG16 as trained on ImageNet, from a file or by Keras' download.

    Returns False where there is no network. Raises DataError when the file is not of VGG16 without its top.
    """
    try:
        trained = keras.applications.VGG16(include_top=False, weights=weights or "imagenet")
    except Exception as error:  # Keras raises plain ones
        if weights:
            raise DataError(f"{weights} does not hold the weights of VGG16 without its top: {error}") from error
        return False
    for layer in trained.layers:
        if layer.weights:
            net.get_layer(layer.name).set_weights(layer.get_weights())
    first = net.get_layer("block1_conv1")
    first.set_weights(_adapt_first_convolution(*first.get_weights()))
    return True


def _adapt_first_convolution(kernel: Any, bias: Any) -> tuple[Any, Any]:
    """The first convolution for R, G, B in 0..1 instead of B, G, R in 0..255 less MEAN.

    Only at the outermost pixels does it differ: beyond the edge lies black, where it was the mean.
    """
    mean = np.array(IMAGENET_BGR_MEAN, np.float32)[:, np.newaxis]
    return kernel[:, :, ::-1] * np.float32(255), bias - (kernel * mean).sum((0, 1, 2))
