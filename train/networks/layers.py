"""Batch normalization in one pass.

Keras 3 computes it as mean, variance, difference, product and sum, each a walk through memory; what TensorFlow and
PyTorch have built in trains a small net a quarter faster on a CPU. Outside training, and so in an export, it is Keras'
own. The class keeps Keras' name, since files of weights go by it.
"""

from __future__ import annotations

from typing import Any

from pocketsight.train.keras_backend import keras

layers, ops = keras.layers, keras.ops

BACKEND = keras.backend.backend()


class BatchNormalization(keras.layers.BatchNormalization):
    """Over the last axis of (B, H, W, C)."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not self.trainable or BACKEND not in _FUSED_BATCH_NORM or inputs.dtype != self.gamma.dtype:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = _FUSED_BATCH_NORM[BACKEND](inputs, self.gamma.value, self.beta.value, self.epsilon)
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return outputs


def _batch_norm_tensorflow(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    import tensorflow as tf

    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    return y, mean, variance


def _batch_norm_torch(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    import torch

    mean, variance = torch.zeros_like(gamma), torch.zeros_like(gamma)  # a momentum of 1 leaves those of this batch
    y = torch.nn.functional.batch_norm(x.permute(0, 3, 1, 2), mean, variance, gamma, beta, True, 1.0, epsilon)
    return y.permute(0, 2, 3, 1), mean, variance


_FUSED_BATCH_NORM = {"tensorflow": _batch_norm_tensorflow, "torch": _batch_norm_torch}


def conv(x: Any, filters: int, kernel: int, stride: int = 1) -> Any:
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False)(x)
    return layers.ReLU(6.0)(BatchNormalization(momentum=0.97)(x))


def separable_conv(x: Any, filters: int, stride: int = 1) -> Any:
    """A depthwise and a pointwise convolution with nothing between them (as in arXiv 1610.02357): half the memory
    traffic in training, the same speed on the board."""
    return conv(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x), filters, 1)


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
