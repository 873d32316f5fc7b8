"""A training that ends before its last epoch. Needs TensorFlow."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.loader import Batch, BatchFn
from pocketsight.train.keras_backend import keras
from pocketsight.train.recipe import DETECTOR_RECIPE, Recipe
from pocketsight.train.run_folder import WEIGHTS_FILE
from pocketsight.train.training.distribution import Cluster
from pocketsight.train.training.options import TrainingOptions
from pocketsight.train.training.stopping import EarlyStopping, StopAtNaN
from pocketsight.train.training.trainer import fit
from tests.support.images import nan_batch, toy_batch

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

RECIPE = replace(DETECTOR_RECIPE, samples=8 * 100, batch_size=8, learning_rate=0.1)  # five epochs of 20 steps
IMAGES, TARGETS, _ = toy_batch(1000)
OPPOSITE = Batch(IMAGES, -TARGETS)  # the more is learned, the worse


def train(folder: Path, patience: int = 0, draw: BatchFn = toy_batch, validation: Batch = OPPOSITE) -> Any:
    keras.utils.set_random_seed(0)
    folder.mkdir(exist_ok=True)
    pixels = keras.Input((4,))
    net = keras.Model(pixels, keras.layers.Dense(1, kernel_initializer="zeros")(pixels))
    fit(net, squared, draw, 160, validation, RECIPE, folder, TrainingOptions(1, early_stopping=patience))
    return net


def squared(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    return keras.ops.mean(keras.ops.square(targets - outputs))


def epochs_of(folder: Path) -> list[int]:
    return [int(line.split(",")[0]) for line in (folder / "history.csv").read_text().splitlines()[1:]]


def test_it_stops_when_the_validation_loss_rises_and_keeps_the_averages_of_the_best_epoch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    net = train(tmp_path, patience=2)
    assert "the weights of epoch 1 are the best" in capfd.readouterr().err
    assert epochs_of(tmp_path) == [0, 1, 2]
    best = json.loads((tmp_path / "checkpoint.best.json").read_text())
    loss = np.square(TARGETS + net.predict_on_batch(IMAGES.astype(np.float32))).mean()
    assert best == {"epoch": 0, "val_loss": pytest.approx(loss, rel=1e-4)}
    written = (tmp_path / WEIGHTS_FILE).read_bytes()
    train(tmp_path, patience=2)  # as with --resume: nothing is left to do
    assert epochs_of(tmp_path) == [0, 1, 2] and (tmp_path / WEIGHTS_FILE).read_bytes() == written
    last = train(tmp_path)
    assert epochs_of(tmp_path) == [0, 1, 2, 3, 4]
    assert not np.allclose(last.get_weights()[0], net.get_weights()[0], atol=0.01)


def test_epochs_on_small_images_do_not_count(tmp_path: Path) -> None:
    stopping = EarlyStopping(tmp_path, patience=3, first_epoch=10, cluster=Cluster())
    assert next(epochs for epochs in range(20) if stopping.is_over(epochs)) == 14
    stopping.best_epoch = 12
    assert next(epochs for epochs in range(20) if stopping.is_over(epochs)) == 16
    assert not EarlyStopping(tmp_path, patience=0, first_epoch=0, cluster=Cluster()).is_over(1000)


def test_nan_stops_at_its_step_and_the_checkpoint_before_it_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"loss .* at step 31, in epoch 2; .* checkpoint of epoch 1\. .*--set learning_rate=0.05"
    ):
        train(tmp_path, draw=nan_batch)
    assert json.loads((tmp_path / "checkpoint.json").read_text()) == {"epochs": 1, "steps": 20}
    assert epochs_of(tmp_path) == [0] and not (tmp_path / WEIGHTS_FILE).exists()
    net = train(tmp_path)
    assert epochs_of(tmp_path) == [0, 1, 2, 3, 4]
    assert np.abs(net.get_weights()[0] - 1).max() < 0.3


def test_weights_that_are_not_finite_do_not_reach_the_checkpoint(tmp_path: Path) -> None:
    pixels = keras.Input((4,))
    net = keras.Model(pixels, keras.layers.Dense(1, kernel_initializer=keras.initializers.Constant(np.inf))(pixels))
    net.recipe = RECIPE
    check = StopAtNaN(tmp_path)
    check.set_model(net)
    check.set_params({"steps": 20})
    check.on_epoch_begin(0)
    with pytest.raises(DataError, match=r"weights .* at step 20, in epoch 1; nothing is kept"):
        check.on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0})
