"""Run folders, and weights to begin a training with. Needs TensorFlow."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.inference import legacy_manifest
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.train.networks.registry import ARCHITECTURES
from pocketsight.train.recipe import CLASSIFIER_RECIPE
from pocketsight.train.run_folder import WEIGHTS_FILE, as_model, build_network, load_run
from pocketsight.train.training.prepare import create_network, prepare_run_folder, validation_subset

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


def test_a_large_validation_split_is_thinned_evenly() -> None:
    assert sorted(validation_subset(list(range(10)), THREE)) == list(range(10))
    sources = validation_subset(["street"] * 60 + ["nothing"] * 60, THREE)
    assert all({*sources[n : n + 16]} == {"street", "nothing"} for n in range(0, 112, 16))
    some = sorted(validation_subset(list(range(100_000)), THREE))
    assert len(some) * 64 * 64 * 3 <= 64e6 and some[1] - some[0] == some[-1] - some[-2] > 1
    assert validation_subset([], THREE) == []


def format1_manifest() -> dict[str, Any]:
    """The manifest of a small run folder as it was written before version 0.2.0."""
    old_names = {new: old for old, new in legacy_manifest.RECIPE.items()}
    recipe = replace(CLASSIFIER_RECIPE, samples=640)
    return {
        "task": "sentiment",
        "arch": "crop71k",
        "size": [64, 64],
        "labels": ["happy", "sad"],
        "threshold": 0.3,
        "strides": [],
        "overlap": 0.0,
        "margin": 0.04,
        "temperature": 1.0,
        "steadiness": {"memory": 0.6, "slack": 0.12, "dwell": 0.4},
        "precision": "float32",
        "licence": "",
        "training": {
            "data": ["moods"],
            "train_pictures": 800,
            "val_pictures": 120,
            "recipe": {old_names.get(name, name): value for name, value in asdict(recipe).items()},
            "votes": ["votes.csv"],
            "picked": {"asked": "answered>=0.8", "data": ["moods"], "figures": {"answered": 0.9}},
            "keras": "3.0",
            "backend": "tensorflow",
        },
        "calibration": {},
        "parity": {},
        "compiled": {},
        "sha256": "",
        "needs": "",
        "format": 1,
    }


def test_a_run_folder_from_before_0_2_0_loads_and_resumes(tmp_path: Path) -> None:
    manifest = format1_manifest()
    assert {"pictures", "batch", "turn", "trust"} <= set(manifest["training"]["recipe"])
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(manifest))
    net = build_network(replace(THREE, labels=("happy", "sad")))
    net.save_weights(tmp_path / WEIGHTS_FILE)
    loaded, spec = load_run(tmp_path)
    assert all(same(loaded.get_weights(), net.get_weights()))
    assert (spec.task, spec.architecture, spec.input_size) == ("classifier", "crop71k", (64, 64))
    assert (spec.score_threshold, spec.crop_margin, spec.smoothing.hysteresis) == (0.3, 0.04, 0.12)
    assert (spec.training["val_images"], spec.training["soft_labels"]) == (120, ["votes.csv"])
    assert spec.training["threshold_choice"]["target"] == "label_rate>=0.8"
    facts = {name: fact for name, fact in spec.training.items() if name != "recipe"}
    facts["recipe"] = asdict(replace(CLASSIFIER_RECIPE, samples=640))
    now = replace(spec, score_threshold=0.7, training=facts)  # what `train classifier` makes of the same options
    assert prepare_run_folder(tmp_path, True, now) == tmp_path
    facts["recipe"]["seed"] = 1
    with pytest.raises(DataError, match="trained with other settings: training recipe;"):
        prepare_run_folder(tmp_path, True, now)


SHIPPED = [
    (task, name, architecture.shipped_model)
    for task, architectures in ARCHITECTURES.items()
    for name, architecture in architectures.items()
    if architecture.shipped_model
]


@pytest.mark.parametrize(("task", "architecture", "model"), SHIPPED)
def test_all_shipped_weights_load(task: str, architecture: str, model: str) -> None:
    _, spec = read_model_file(MODELS_DIR / f"{model}.tflite")
    assert (spec.task, spec.architecture) == (task, architecture)
    net = build_network(spec)
    fresh = net.get_weights()
    net.load_weights(MODELS_DIR / f"{model}.weights.h5")
    assert not any(np.array_equal(a, b) for a, b in zip(fresh, net.get_weights(), strict=True))
    outputs = as_model(net, spec).infer(np.zeros((*spec.input_size, 3), np.uint8))
    assert all(np.isfinite(out.values).all() for out in outputs.values())


def test_each_shipped_weights_file_has_an_architecture() -> None:
    names = {path.name for path in MODELS_DIR.glob("*.weights.h5")}
    assert names == {f"{model}.weights.h5" for _, _, model in SHIPPED}
