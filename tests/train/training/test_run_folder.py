"""Run folders, and weights to begin a training with. Needs TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.train.run_folder import WEIGHTS_FILE, build_network
from pocketsight.train.training.prepare import create_network, validation_subset

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

FACTS: dict[str, Any] = {"recipe": {"seed": 0}}
THREE = ModelSpec("classifier", "crop71k", (64, 64), ("a", "b", "c"), 0.5, crop_margin=0.1, training=FACTS)
CNN = ModelSpec("classifier", "cnn256", (256, 256), ("a", "b"), 0.5, crop_margin=0.1, training=FACTS)


def same(a: Any, b: Any) -> list[bool]:
    return [np.shape(x) == np.shape(y) and bool(np.array_equal(x, y)) for x, y in zip(a, b, strict=True)]


def test_the_shipped_weights_serve_other_classes_but_for_the_last_layer() -> None:
    fresh, spec = create_network(THREE, None, resume=False)
    assert "initial_weights" not in spec.training
    net, spec = create_network(THREE, "shipped", resume=False)
    assert spec.training["initial_weights"] == "shipped"
    assert not any(same(net.get_weights()[:-2], fresh.get_weights()[:-2]))
    assert all(same(net.get_weights()[-2:], fresh.get_weights()[-2:]))  # three classes are not the shipped five


def test_a_run_folder_serves_as_a_beginning_also_after_a_kill_without_checkpoint(
    tmp_path: Path,
) -> None:
    net = build_network(THREE)
    net.save_weights(tmp_path / WEIGHTS_FILE)
    begun, spec = create_network(THREE, str(tmp_path), resume=False)
    assert all(same(begun.get_weights(), net.get_weights())) and spec.training["initial_weights"] == tmp_path.name
    begun, _ = create_network(THREE, str(tmp_path), resume=True)
    assert all(same(begun.get_weights(), net.get_weights()))
    begun, spec = create_network(THREE, None, resume=True)
    assert spec == THREE and not all(same(begun.get_weights(), net.get_weights()))


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    build_network(CNN).save_weights(tmp_path / "cnn.weights.h5")
    (tmp_path / "bad.weights.h5").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"cnn\.weights\.h5"):
        create_network(THREE, str(tmp_path / "cnn.weights.h5"), resume=False)
    for name in ("bad.weights.h5", "missing.weights.h5", "missing.txt"):
        with pytest.raises(DataError, match=r"has no weights for this network"):
            create_network(THREE, str(tmp_path / name), resume=False)
    with pytest.raises(DataError, match="no weights of cnn256 are shipped"):
        create_network(CNN, "shipped", resume=False)


def test_a_large_validation_part_is_thinned_evenly() -> None:
    assert validation_subset(list(range(10)), THREE) == list(range(10))
    some = validation_subset(list(range(100_000)), THREE)
    assert len(some) * 64 * 64 * 3 <= 64e6 and some[1] - some[0] == some[-1] - some[-2] > 1
    assert validation_subset([], THREE) == []
