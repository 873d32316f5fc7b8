"""The detector network.

It is anchor-free: a score for each kind of object and four distances per cell, on three grids. Its operators stay int8
in one XNNPACK partition. The score learns the IoU of the box (quality, as in arXiv 2006.04388), so that NMS keeps the
best boxes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pocketsight.device.vision.box_encoding import MAX_DISTANCE
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.layers import conv, patch_stem, separable_conv
from pocketsight.train.recipe import DETECTOR_STRIDES

layers, ops = keras.layers, keras.ops


def prediction_head(x: Any, stride: int, kinds: int = 1) -> dict[str, Any]:
    """The two outputs of one grid, for this number of kinds of objects.

    ReLU6 bounds the distances; they start at 2 strides, where its gradient is not 0.
    """
    score = layers.Conv2D(kinds, 1, bias_initializer=keras.initializers.Constant(-4.6))(x)  # score 0.01 at the start
    box = layers.Conv2D(4, 1, bias_initializer=keras.initializers.Constant(2.0))(x)
    return {
        f"score_{stride}": layers.Activation("sigmoid", name=f"score_{stride}", dtype="float32")(score),
        f"box_{stride}": layers.ReLU(MAX_DISTANCE, name=f"box_{stride}", dtype="float32")(box),
    }


class GridConfig(NamedTuple):
    """Numbers of filters: of the stem, and of the convolutions on grids of 8, 16 and 32 pixels."""

    stem: int  # patches of 4x4 pixels
    fine: tuple[int, ...]  # full convolutions: on a fine grid they take no more time than separable ones
    middle: tuple[int, ...]  # the first one is a full convolution
    coarse: tuple[int, ...]
    neck: int  # of all three grids before the heads


GRID141K = GridConfig(32, (48, 48), (64, 96, 96), (128, 128), 48)


def grid_detector(
    size: tuple[int | None, int | None], kinds: int = 1, batch: int | None = None, config: GridConfig = GRID141K
) -> keras.Model:
    """Images (B, H, W, 3) 0..255 to score_S (B, h, w, kinds) and box_S (B, h, w, 4) for each stride S.

    With a size of None it takes images of any size that the last stride divides.
    """
    pixels = keras.Input(batch_shape=(batch, *size, 3), name="image")
    fine = patch_stem(pixels, config.stem)
    for number, filters in enumerate(config.fine):
        fine = conv(fine, filters, 3, 1 if number else 2)
    middle = conv(fine, config.middle[0], 3, 2)
    for filters in config.middle[1:]:
        middle = separable_conv(middle, filters)
    coarse = middle
    for number, filters in enumerate(config.coarse):
        coarse = separable_conv(coarse, filters, 1 if number else 2)
    coarse = conv(coarse, config.neck, 1)
    middle = layers.Add()([conv(middle, config.neck, 1), _upsample_2x(coarse)])
    fine = fine if config.fine[-1] == config.neck else conv(fine, config.neck, 1)
    fine = layers.Add()([fine, _upsample_2x(middle)])
    outputs: dict[str, Any] = {}
    for level, stride in zip((fine, middle, coarse), DETECTOR_STRIDES, strict=True):
        level = separable_conv(level, config.neck)
        outputs |= prediction_head(conv(level, config.neck, 1), stride, kinds)
    return keras.Model(pixels, outputs)


def _upsample_2x(x: Any) -> Any:
    return layers.UpSampling2D(2, interpolation="bilinear")(x)  # nearest would split the int8 graph
