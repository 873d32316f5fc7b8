"""The detector: its nets and its loss.

Anchor-free, one score and four distances a cell, on three grids, and only operators that stay int8 in one XNNPACK
partition. The score learns how well the box will fit (quality, as in arXiv 2006.04388),
so that it also ranks boxes for suppression.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pocketsight.device.vision.boxes import IGNORE, MAX_DISTANCE, POSITIVE
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.layers import BatchNormalization
from pocketsight.train.recipe import Recipe

layers, ops = keras.layers, keras.ops

STRIDES = 8, 16, 32


def conv(x: Any, filters: int, kernel: int, stride: int = 1) -> Any:
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False)(x)
    return layers.ReLU(6.0)(BatchNormalization(momentum=0.97)(x))


def separable_conv(x: Any, filters: int, stride: int = 1) -> Any:
    """A depthwise and a pointwise convolution with nothing between them (as in arXiv 1610.02357): half the memory
    traffic in training, the same speed on the board."""
    return conv(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x), filters, 1)


def prediction_head(x: Any, stride: int) -> dict[str, Any]:
    """The two outputs of one grid. ReLU6 bounds the distances; they start at 2 strides, where its slope is not 0."""
    score = layers.Conv2D(1, 1, bias_initializer=keras.initializers.Constant(-4.6))(x)  # 1 % of the cells at first
    box = layers.Conv2D(4, 1, bias_initializer=keras.initializers.Constant(2.0))(x)
    return {
        f"score_{stride}": layers.Activation("sigmoid", name=f"score_{stride}", dtype="float32")(score),
        f"box_{stride}": layers.ReLU(MAX_DISTANCE, name=f"box_{stride}", dtype="float32")(box),
    }


def patch_stem(x: Any, filters: int, patch_size: int = 4) -> Any:
    """A convolution of 0..255 with windows of `side` x `side` pixels that do not overlap.

    Pixels beside each other become channels by a reshape, which moves nothing: with 12 channels instead of 3 the
    board's kernels take a third of the time. The normalization that follows also brings 255 to 1, so that the board
    need not multiply every pixel.
    """
    x = layers.Conv2D(filters, (patch_size, 1), (patch_size, 1), use_bias=False)(SpaceToWidth(patch_size)(x))
    return layers.ReLU(6.0)(BatchNormalization(momentum=0.97)(x))


class SpaceToWidth(keras.layers.Layer):
    """(B, H, W, C) -> (B, H, W / side, side * C), of any height and width."""

    def __init__(self, block_size: int, **options: Any) -> None:
        super().__init__(**options)
        self.block_size = block_size

    def call(self, x: Any) -> Any:
        batch, height, width, channels = ops.shape(x)
        return ops.reshape(x, (batch, height, width // self.block_size, self.block_size * channels))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, channels = shape
        return batch, height, width and width // self.block_size, self.block_size * (channels or 0)


class GridConfig(NamedTuple):
    """Filters of a net: of its patches, and of its convolutions on grids of 8, 16 and 32 pixels."""

    stem: int  # of 4x4 pixels
    fine: tuple[int, ...]  # full convolutions: where the grid is fine they cost no more time than separable ones
    middle: tuple[int, ...]  # the first is full
    coarse: tuple[int, ...]
    neck: int  # where the grids meet


GRID133K = GridConfig(32, (48, 48), (64, 96, 96), (128, 128), 48)


def grid_detector(
    size: tuple[int | None, int | None], batch: int | None = None, config: GridConfig = GRID133K
) -> keras.Model:
    """(B, H, W, 3) 0..255 in; score_S (B, h, w, 1), box_S (B, h, w, 4) out for each of STRIDES.

    A size of None takes pictures of any size whose sides the last stride divides.
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
    for level, stride in zip((fine, middle, coarse), STRIDES, strict=True):
        outputs |= prediction_head(conv(level, config.neck, 1), stride)
    return keras.Model(pixels, outputs)


def _upsample_2x(x: Any) -> Any:
    return layers.UpSampling2D(2, interpolation="bilinear")(x)  # nearest would split the int8 graph


def detector_loss(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    """Quality focal loss of all cells that count plus EIoU of the cells on faces, over the number of the latter.

    `targets` (B, cells, 5) are `encode`'s; `outputs` the net's.
    """
    score, sides = flatten_outputs(outputs)
    state, wanted = targets[..., 0], targets[..., 1:]
    face = ops.cast(state == POSITIVE, "float32")
    overlap, misfit = iou_and_eiou_loss(sides, wanted)
    quality = ops.stop_gradient(overlap) * face
    counts = ops.cast(state != IGNORE, "float32")
    cells = ops.maximum(ops.sum(face), 1.0)
    presence = ops.sum(counts * quality_focal_loss(score, quality)) / cells
    return presence + recipe.box_loss * ops.sum(face * misfit) / cells


def flatten_outputs(outputs: Any) -> tuple[Any, Any]:
    """Score (B, cells) and distances (B, cells, 4) in the order of `encode`: grid after grid, row by row."""
    strides = sorted(int(name.removeprefix("score_")) for name in outputs if name.startswith("score_"))
    scores = [ops.reshape(outputs[f"score_{s}"], (ops.shape(outputs[f"score_{s}"])[0], -1)) for s in strides]
    sides = [ops.reshape(outputs[f"box_{s}"], (ops.shape(outputs[f"box_{s}"])[0], -1, 4)) for s in strides]
    return ops.concatenate(scores, 1), ops.concatenate(sides, 1)


def quality_focal_loss(score: Any, quality: Any) -> Any:
    """Cross-entropy against a quality in 0..1, weighted by the squared error (quality focal loss, arXiv 2006.04388)."""
    score = ops.clip(score, 1e-6, 1 - 1e-6)
    entropy = -quality * ops.log(score) - (1 - quality) * ops.log(1 - score)
    return entropy * ops.square(score - quality)


def iou_and_eiou_loss(a: Any, b: Any) -> tuple[Any, Any]:
    """Intersection over union, and the EIoU loss (arXiv 2101.08158), of boxes around the same points.

    Both are (..., 4): distances to left, top, right, bottom.
    """
    inner, outer = ops.minimum(a, b), ops.maximum(a, b)
    shared = (inner[..., 0] + inner[..., 2]) * (inner[..., 1] + inner[..., 3])
    wide, high = outer[..., 0] + outer[..., 2], outer[..., 1] + outer[..., 3]
    a_wide, a_high = a[..., 0] + a[..., 2], a[..., 1] + a[..., 3]
    b_wide, b_high = b[..., 0] + b[..., 2], b[..., 1] + b[..., 3]
    small = 1e-6
    overlap = shared / (a_wide * a_high + b_wide * b_high - shared + small)
    x = (a[..., 2] - a[..., 0] - b[..., 2] + b[..., 0]) / 2
    y = (a[..., 3] - a[..., 1] - b[..., 3] + b[..., 1]) / 2
    apart = (ops.square(x) + ops.square(y)) / (ops.square(wide) + ops.square(high) + small)
    unlike = ops.square((a_wide - b_wide) / (wide + small)) + ops.square((a_high - b_high) / (high + small))
    return overlap, 1 - overlap + apart + unlike
