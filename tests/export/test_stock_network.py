"""A network of Keras' own layers says what the board reads from the trained network, and a difference is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import ModelError, ParityError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.export.stock_network import build_stock_network
from pocketsight.export.stock_parity import check_outputs
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import as_model
from tests.support.run_folders import NETWORKS, trained_network

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

CNN256 = NETWORKS["cnn256"]


def as_dict(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {"probabilities": found}


@pytest.mark.parametrize("spec", [*NETWORKS.values(), replace(CNN256, temperature=0.5)])
def test_the_copy_has_keras_layers_only_and_says_the_same(spec: ModelSpec) -> None:
    net = trained_network(spec)
    stock = build_stock_network(net, spec)
    assert all(type(layer).__module__.startswith("keras.") for layer in stock.layers)
    report = check_outputs(as_model(net, spec), lambda images: as_dict(stock.predict_on_batch(images)))
    assert all(each["max_abs"] < 1e-4 for each in report["output_difference"].values())
    images = np.zeros((3, *spec.input_size, 3), np.uint8)
    found = as_dict(stock.predict_on_batch(images))
    if spec.task == "classifier":
        assert found["probabilities"].shape == (3, len(spec.labels))
        assert found["probabilities"].sum(1) == pytest.approx(1)
    else:
        cells = sum(96 // s * 128 // s for s in spec.strides) or 1
        scores = (3, cells) if len(spec.labels) == 1 else (3, cells, len(spec.labels))
        assert {name: each.shape for name, each in found.items()} == {"boxes": (3, cells, 4), "scores": scores}


def test_another_answer_is_refused() -> None:
    net = trained_network(CNN256)
    stock = build_stock_network(net, replace(CNN256, temperature=4.0))
    with pytest.raises(ParityError, match=r"the exported probabilities differ .* the limit is 0\.003906"):
        check_outputs(as_model(net, CNN256), lambda images: as_dict(stock.predict_on_batch(images)))
    with pytest.raises(ParityError, match="by nan"):
        check_outputs(as_model(net, CNN256), lambda images: {"probabilities": np.full((2, 2), np.nan, np.float32)})


def test_a_layer_that_keras_does_not_have_is_named() -> None:
    class Twice(keras.layers.Layer):  # type: ignore[misc,unused-ignore]
        def call(self, x: Any) -> Any:
            return 2 * x

    pixels = keras.Input((8, 8, 3))
    net = keras.Model(pixels, {"score": Twice(name="twice")(pixels)})
    with pytest.raises(ModelError, match="the layer twice is a Twice of pocketsight"):
        build_stock_network(net, CNN256)
