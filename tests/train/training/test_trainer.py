"""The training loop on a net of one layer. Needs TensorFlow."""

import csv
from dataclasses import replace
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.loader import BatchFn
from pocketsight.train.keras_backend import keras
from pocketsight.train.recipe import DETECTOR_RECIPE, Recipe
from pocketsight.train.run_folder import WEIGHTS_FILE, read_checkpoint_state
from pocketsight.train.training import callbacks, stopping
from pocketsight.train.training.options import TrainingOptions
from pocketsight.train.training.trainer import fit
from tests.support.images import broken_batch, other_batch, toy_batch

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

RECIPE = replace(DETECTOR_RECIPE, samples=8 * 60, batch_size=8, learning_rate=0.1)  # three epochs of 20 steps
CHANGING = replace(RECIPE, low_res_share=0.34)  # one epoch of three with other batches


def squared(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    return keras.ops.mean(keras.ops.square(targets - outputs))


def train(
    folder: Path,
    draw: BatchFn = toy_batch,
    early: BatchFn | None = None,
    recipe: Recipe = RECIPE,
    deadline: float = inf,
) -> Any:
    keras.utils.set_random_seed(0)
    folder.mkdir(exist_ok=True)
    pixels = keras.Input((4,))
    net = keras.Model(pixels, keras.layers.Dense(1)(pixels))
    options = TrainingOptions(workers=1, deadline=deadline)
    fit(net, squared, draw, 160, toy_batch(1000), recipe, folder, options, early)
    return net.get_weights()


def test_it_learns_and_logs_what_it_skipped(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kernel, bias = train(tmp_path / "run")
    assert np.abs(kernel - 1).max() < 0.25 and abs(bias[0]) < 2
    said = capfd.readouterr().err
    assert "skipped: a.png is broken" in said and "1 images were skipped" in said
    assert "epoch 3/3" in said and "waiting for images" in said
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 4


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(tmp_path / "whole")
    save = callbacks.Checkpoint.on_epoch_end

    def kill(self: Any, epoch: int, logs: Any = None) -> None:
        save(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.Checkpoint, "on_epoch_end", kill)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut")
    assert not (tmp_path / "cut" / WEIGHTS_FILE).exists()
    monkeypatch.undo()
    for a, b in zip(whole, train(tmp_path / "cut"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert (tmp_path / "cut" / WEIGHTS_FILE).exists()
    assert len((tmp_path / "cut" / "history.csv").read_text().splitlines()) == 4


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The weights of a training that begins with other batches."""
    return train(tmp_path_factory.mktemp("changing") / "run", toy_batch, other_batch, CHANGING)


def test_a_training_that_begins_with_other_batches_learns_from_them(tmp_path: Path, changing: Any) -> None:
    only = train(tmp_path / "only", toy_batch, None, CHANGING)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(changing, only, strict=True))


@pytest.mark.parametrize("last", [0, 1])
def test_a_training_that_begins_with_other_batches_can_be_killed_where_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changing: Any, last: int
) -> None:
    save = callbacks.Checkpoint.on_epoch_end

    def kill(self: Any, epoch: int, logs: Any = None) -> None:
        save(self, epoch, logs)
        if epoch == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.Checkpoint, "on_epoch_end", kill)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", toy_batch, other_batch, CHANGING)
    monkeypatch.undo()
    for a, b in zip(changing, train(tmp_path / "cut", toy_batch, other_batch, CHANGING), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_error_of_the_loader_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="almost no image can be read"):
        train(tmp_path / "run", broken_batch)


def test_a_training_on_a_machine_that_became_slower_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seconds = count()  # one for each step, and one for each end of an epoch
    monkeypatch.setattr(stopping, "perf_counter", lambda: next(seconds))
    recipe = replace(RECIPE, samples=8 * 200, low_res_share=0.4)  # four epochs of ten with other batches
    train(tmp_path / "run", toy_batch, other_batch, recipe, deadline=100)
    assert 90 < next(seconds) <= 106
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 4, 5, 6]
    assert read_checkpoint_state(tmp_path / "run")["epochs"] == 10
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[-1] < 0.02 * rates[0] and (tmp_path / "run" / WEIGHTS_FILE).exists()
    assert capfd.readouterr().err.count("the training is shortened") == 1
