"""Memory that runs out: TensorFlow's own error, raised by a real step, becomes one line. Needs TensorFlow."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.train.keras_backend import keras
from pocketsight.train.recipe import DETECTOR_RECIPE, Recipe
from pocketsight.train.training import memory, trainer
from pocketsight.train.training.options import TrainingOptions
from tests.support.images import toy_batch

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

RECIPE = replace(DETECTOR_RECIPE, samples=8 * 20, batch_size=8)


def squared(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    return keras.ops.mean(keras.ops.square(targets - outputs))


def greedy(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    """A loss that takes a kilobyte for 2 images, and all memory for more."""
    size = keras.ops.shape(outputs)[0]
    count = keras.ops.where(size > 2, 2**24, 16)
    waste = keras.ops.sum(keras.ops.broadcast_to(keras.ops.mean(outputs), (count, count)) ** 2)
    return squared(targets, outputs, recipe) + keras.ops.minimum(waste, 0)  # 0 * waste would be optimized away


def make_trainer(loss: Any = squared) -> trainer.Trainer:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((4,))
    net = keras.Model(pixels, keras.layers.Dense(1, dtype="float32")(keras.layers.Dropout(0.5)(pixels)))
    made = trainer.Trainer(net, loss, RECIPE)
    trainer.compile_trainer(made, net, RECIPE, 100, 20)
    return made


def train(folder: Path, loss: Any, **options: Any) -> Any:
    folder.mkdir(exist_ok=True)
    net = make_trainer().net
    trainer.fit(net, loss, toy_batch, 160, toy_batch(1000), RECIPE, folder, TrainingOptions(workers=1), **options)
    return net.get_weights()


def test_out_of_memory_names_a_batch_that_fits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"with --batch-size 8: .* --batch-size 2, of which one") as caught:
        train(tmp_path / "run", greedy)
    assert "\n" not in str(caught.value)
    assert memory.is_out_of_memory(caught.value.__cause__)


def test_the_checkpoint_is_kept_and_named(tmp_path: Path) -> None:
    train(tmp_path / "run", squared)
    checkpoint = (tmp_path / "run" / "checkpoint.weights.h5").read_bytes()
    made = make_trainer(greedy)
    with pytest.raises(DataError, match=r"the checkpoint stays in .*run"):
        with memory.explain_memory_errors(made, toy_batch, tmp_path / "run"):
            made.train_on_batch(*toy_batch(0)[:2])
    assert (tmp_path / "run" / "checkpoint.weights.h5").read_bytes() == checkpoint


def test_other_errors_pass_and_a_full_computer_gets_other_advice(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        with memory.explain_memory_errors(make_trainer(), toy_batch, tmp_path):
            raise KeyError("a")
    with pytest.raises(DataError, match=r"memory of this computer is full: .*--workers"):
        with memory.explain_memory_errors(make_trainer(), toy_batch, tmp_path):
            np.empty(2**50, np.uint8)  # a MemoryError of NumPy


def test_the_truth_below_another_error_is_found() -> None:
    def fail() -> None:
        try:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.")
        except RuntimeError:
            raise TypeError("'NoneType' object is not callable")  # noqa: B904 - Keras on JAX does so

    with pytest.raises(TypeError) as caught:
        fail()
    assert memory.is_out_of_memory(caught.value)
    assert not memory.is_out_of_memory(TypeError("'NoneType' object is not callable"))


def test_a_rehearsal_finds_it_early_and_leaves_no_trace(tmp_path: Path) -> None:
    made = make_trainer()
    variables = [*made.variables, *made.optimizer.variables]
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    memory.rehearse_step(made, toy_batch(0), tmp_path)
    for old, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(variable))
    with pytest.raises(DataError, match="--batch-size 2, of which"):
        memory.rehearse_step(make_trainer(greedy), toy_batch(0), tmp_path)


def test_only_a_large_batch_on_a_gpu_is_rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsed = []
    monkeypatch.setattr(trainer, "rehearse_step", lambda *words: rehearsed.append(len(words[1].images)))
    train(tmp_path / "cpu", squared, low_res_batch_fn=toy_batch)
    monkeypatch.setattr(trainer, "list_gpus", lambda: ["a GPU"])
    train(tmp_path / "small", squared, low_res_batch_fn=toy_batch)
    monkeypatch.setattr(trainer, "MAX_UNREHEARSED_BATCH", 7)
    train(tmp_path / "gpu", squared, low_res_batch_fn=toy_batch)
    assert rehearsed == [8]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_training_in_a_short_type_writes_weights_that_float32_loads(tmp_path: Path, precision: str) -> None:
    from pocketsight.train.gpu import use_precision

    with use_precision(precision):
        weights = train(tmp_path / "run", squared)
    net = make_trainer().net
    assert net.compute_dtype == "float32"
    net.load_weights(tmp_path / "run" / "model.weights.h5")
    for a, b in zip(weights, net.get_weights(), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)
    if precision == "float16":  # its checkpoint has the scale of the loss
        with pytest.raises(DataError, match="resume with the same --precision"):
            (tmp_path / "run" / "model.weights.h5").unlink()
            train(tmp_path / "run", squared)
