"""Normalization in one pass gives what Keras' own gives. Needs TensorFlow."""

from typing import Any

import numpy as np
import pytest

from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.layers import BatchNormalization

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

X = np.random.default_rng(0).normal(2, 3, (8, 6, 5, 4)).astype(np.float32)


def learned(layer: Any) -> tuple[Any, list[Any]]:
    """Outputs in training, and the weights after five steps towards outputs of 1."""
    pixels = keras.Input((6, 5, 4))
    net = keras.Model(pixels, layer(pixels))
    net.compile(keras.optimizers.SGD(0.1), "mse")
    for _ in range(5):
        net.train_on_batch(X, np.ones_like(X))
    return np.asarray(net(X, training=True)), net.get_weights()


def test_it_learns_as_keras_own_does() -> None:
    ours, theirs = (learned(kind(momentum=0.9)) for kind in (BatchNormalization, keras.layers.BatchNormalization))
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-4)
    for a, b in zip(ours[1][:3], theirs[1][:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3)
    n = X[..., 0].size  # the built-in ones take the unbiased variance for the moving one
    np.testing.assert_allclose(ours[1][3], theirs[1][3], rtol=2 / n)


def test_outside_training_it_is_keras_own() -> None:
    ours, theirs = BatchNormalization(), keras.layers.BatchNormalization()
    weights = [np.full(4, v, np.float32) for v in (1.5, 0.2, 2.0, 9.0)]
    for layer in (ours, theirs):
        layer.build(X.shape)
        layer.set_weights(weights)
    assert (np.asarray(ours(X, training=False)) == np.asarray(theirs(X, training=False))).all()


def test_files_of_weights_call_it_as_they_call_keras_own() -> None:
    assert BatchNormalization().name.startswith("batch_normalization")
