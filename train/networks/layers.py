"""Batch normalization in one pass.

Keras 3 computes it as mean, variance, difference, product and sum, each a walk through memory; what TensorFlow and
PyTorch have built in trains a small net a quarter faster on a CPU. Outside training, and so in an export, it is Keras'
own. The class keeps Keras' name, since files of weights go by it.
"""

from __future__ import annotations

from typing import Any

from pocketsight.train.keras_backend import keras

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
