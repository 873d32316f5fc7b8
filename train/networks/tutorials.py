"""The networks of two well-known tutorials: `cnn256` classifies happy and sad, `vgg16` finds one face.

The other choices of each tutorial are in its recipe. TUTORIALS.md walks through both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.train.keras_backend import keras

layers, ops = keras.layers, keras.ops

# Mean pixel of ImageNet in B, G, R, which the weights of VGG16 expect to be subtracted.
IMAGENET_BGR_MEAN = 103.939, 116.779, 123.68


def cnn256(size: tuple[int, int], classes: int, batch: int | None = None) -> keras.Model:
    """3,696,625 parameters. Images (B, 256, 256, 3) 0..255 to the score (B, 1) of the second of two classes."""
    if classes != 2:
        raise DataError(f"cnn256 has two classes, not {classes}; choose two with --classes, or another --arch")
    pixels = keras.Input(batch_shape=(batch, *size, 3), name="image")
    x = layers.Rescaling(1 / 255)(pixels)
    for filters in (16, 32, 16):
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 3, activation="relu")(x))
    x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    return keras.Model(pixels, {"score": layers.Dense(1, activation="sigmoid", name="score", dtype="float32")(x)})


def vgg16(size: tuple[int, int], kinds: int = 1, batch: int | None = None) -> keras.Model:
    """16,826,181 parameters. Images (B, 120, 120, 3) 0..255 to score (B, 1) and box (B, 4) in fractions of the input.

    The convolutions of VGG16 (arXiv 1409.1556), global max pooling, and two heads.
    """
    if kinds != 1:
        raise DataError(f"vgg16 finds one kind of object, not {kinds}; choose one with --labels, or another --arch")
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
    x = layers.Flatten()(layers.MaxPooling2D(x.shape[1:3])(x))  # GlobalMaxPooling2D has no int8 operator
    outputs = {
        name: layers.Dense(count, activation="sigmoid", name=name, dtype="float32")(
            layers.Dense(2048, activation="relu")(x)
        )
        for name, count in (("score", 1), ("box", 4))
    }
    return keras.Model(pixels, outputs)


def load_imagenet_weights(net: keras.Model, weights: Path | None) -> bool:
    """Load the convolutions of VGG16 trained on ImageNet, from a file or by Keras' download.

    Returns False when the download fails. Raises DataError when the file has no weights of VGG16 without its top.
    """
    try:
        trained = keras.applications.VGG16(include_top=False, weights=weights or "imagenet")
    except Exception as error:  # Keras raises Exception itself
        if weights:
            raise DataError(f"{weights} has no weights of VGG16 without its top: {error}") from error
        return False
    for layer in trained.layers:
        if layer.weights:
            net.get_layer(layer.name).set_weights(layer.get_weights())
    first = net.get_layer("block1_conv1")
    first.set_weights(_adapt_first_convolution(*first.get_weights()))
    return True


def _adapt_first_convolution(kernel: Any, bias: Any) -> tuple[Any, Any]:
    """The first convolution for R, G, B in 0..1 instead of B, G, R in 0..255 minus the mean.

    Results differ at the outermost pixels only: padding is black instead of the mean.
    """
    mean = np.array(IMAGENET_BGR_MEAN, np.float32)[:, np.newaxis]
    return kernel[:, :, ::-1] * np.float32(255), bias - (kernel * mean).sum((0, 1, 2))
