"""Layers that several networks share, and a fused batch normalization.

Keras 3 computes batch normalization as mean, variance, difference, product and sum, each a pass over memory. The fused
operators of TensorFlow and PyTorch train a small network a quarter faster on a CPU. Outside training, and so in an
export, Keras' own code runs. The class keeps Keras' name, since weights files refer to layers by class name.
"""

from __future__ import annotations

from typing import Any

from pocketsight.train.keras_backend import keras

layers, ops = keras.layers, keras.ops

BACKEND = keras.backend.backend()


class BatchNormalization(keras.layers.BatchNormalization):
    """Normalizes the last axis of (B, H, W, C). Of short types too: the operators compute the moments in float32."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not self.trainable or BACKEND not in _FUSED_BATCH_NORM:
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

    mean, variance = torch.zeros_like(gamma), torch.zeros_like(gamma)  # momentum 1: those of this batch
    y = torch.nn.functional.batch_norm(x.permute(0, 3, 1, 2), mean, variance, gamma, beta, True, 1.0, epsilon)
    return y.permute(0, 2, 3, 1), mean, variance


_FUSED_BATCH_NORM = {"tensorflow": _batch_norm_tensorflow, "torch": _batch_norm_torch}


def conv(x: Any, filters: int, kernel: int, stride: int = 1) -> Any:
    """Convolution, batch normalization, ReLU6."""
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False)(x)
    return layers.ReLU(6.0)(BatchNormalization(momentum=0.97)(x))


def separable_conv(x: Any, filters: int, stride: int = 1) -> Any:
    """A depthwise and a pointwise convolution without normalization between them (as in arXiv 1610.02357).

    That halves the memory traffic in training; the speed on the board is the same.
    """
    return conv(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x), filters, 1)


def patch_stem(x: Any, filters: int, patch_size: int = 4) -> Any:
    """A convolution of patches of `patch_size` x `patch_size` pixels (0..255) that do not overlap.

    A reshape, which moves no data, turns neighboring pixels into channels: with 12 channels instead of 3 the board's
    kernels take a third of the time. The batch normalization also scales 0..255, so no pixel is multiplied on its own.
    """
    x = layers.Conv2D(filters, (patch_size, 1), (patch_size, 1), use_bias=False)(SpaceToWidth(patch_size)(x))
    return layers.ReLU(6.0)(BatchNormalization(momentum=0.97)(x))


class SpaceToWidth(keras.layers.Layer):
    """(B, H, W, C) to (B, H, W / block_size, block_size * C), of any height and width."""

    def __init__(self, block_size: int, **options: Any) -> None:
        super().__init__(**options)
        self.block_size = block_size

    def call(self, x: Any) -> Any:
        batch, height, width, channels = ops.shape(x)
        return ops.reshape(x, (batch, height, width // self.block_size, self.block_size * channels))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, channels = shape
        return batch, height, width and width // self.block_size, self.block_size * (channels or 0)
