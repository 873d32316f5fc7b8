"""The classifier networks. Softmax is not part of the graph: it would split the int8 model in two."""

from __future__ import annotations

from typing import Any

from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.layers import conv, separable_conv

layers, ops = keras.layers, keras.ops

# Lower scores are reported as "unsure"; replaced by a threshold chosen on the validation split.
INITIAL_THRESHOLD = 0.7


def crop71k(size: tuple[int, int], classes: int, batch: int | None = None) -> keras.Model:
    """The default: 71 k parameters, 8 million multiply-adds. Images (B, H, W, 3) 0..255 to logits (B, classes)."""
    pixels = keras.Input(batch_shape=(batch, *size, 3), name="image")
    x = layers.Rescaling(1 / 255)(pixels)  # no offset: it folds into the first convolution
    x = _residual_stage(conv(x, 24, 3, 2), 32, 1, 2)
    for filters, blocks in ((64, 3), (96, 3), (112, 2)):
        x = _residual_stage(x, filters, 2, blocks)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, {"logits": layers.Dense(classes, name="logits", dtype="float32")(x)})


def crop870k(size: tuple[int, int], classes: int, batch: int | None = None) -> keras.Model:
    """A teacher for distillation: 870 k parameters. Images (B, H, W, 3) 0..255 to logits (B, classes)."""
    pixels = keras.Input(batch_shape=(batch, *size, 3), name="image")
    x = conv(layers.Rescaling(1 / 255)(pixels), 24, 3, 2)
    for filters, stride in ((24, 1), (48, 2), (96, 2), (160, 2)):
        x = conv(x, filters, 3, stride) if stride > 1 else x
        x = layers.Add()([x, conv(conv(x, filters, 3), filters, 3)])
    x = layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, {"logits": layers.Dense(classes, name="logits", dtype="float32")(x)})


def _residual_stage(x: Any, filters: int, stride: int, blocks: int) -> Any:
    """Blocks of one grid size; all but the first add their input."""
    x = separable_conv(x, filters, stride)
    for _ in range(blocks - 1):
        x = layers.Add()([x, separable_conv(x, filters)])
    return x
