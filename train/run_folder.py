"""A run folder: the files of one training.

manifest.json        facts about the model; `pocketsight export tflite` completes it
model.weights.h5     the averaged weights
history.csv          losses, learning rate and speed by epoch; curves.png shows the losses
tensorboard/         event files for TensorBoard
recipe.toml          the hyperparameters, for --recipe
samples.png          images as training saw them
detections.png       predictions on held-out images; predictions.png of a classifier
errors.html          errors on held-out images; scores.json and more plots
checkpoint.*         the state that --resume continues from; checkpoint.best.* are those of --early-stopping
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.image import Image
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.registry import ARCHITECTURES

WEIGHTS_FILE = "model.weights.h5"
CHECKPOINT_FILE = "checkpoint.weights.h5"
CHECKPOINT_STATE_FILE = "checkpoint.json"
BEST_WEIGHTS_FILE = "checkpoint.best.weights.h5"
BEST_STATE_FILE = "checkpoint.best.json"
HISTORY_FILE = "history.csv"
EVENTS_FOLDER = "tensorboard"
SCORES_FILE = "scores.json"
RECIPE_FILE = "recipe.toml"
WEIGHTS_ENDING = ".weights.h5"  # Keras chooses the format by it


def read_checkpoint_state(folder: Path) -> dict[str, int]:
    """Numbers of the epochs and of the steps that the checkpoint has seen; {} without a checkpoint."""
    state = folder / CHECKPOINT_STATE_FILE
    return dict(json.loads(state.read_text())) if state.exists() else {}


def read_trained_recipe(folder: Path) -> dict[str, Any]:
    """The recipe in the manifest of a run folder; {} without one."""
    manifest = folder / MANIFEST_NAME
    if not manifest.exists():
        return {}
    return dict(ModelSpec.from_json(manifest.read_text(), manifest).training.get("recipe", {}))


def build_network(spec: ModelSpec, batch: int | None = None, any_size: bool = False) -> keras.Model:
    """The network of a spec, with random weights. Raises ModelError when its architecture is unknown.

    `any_size`: it takes images of any size, if the architecture can.
    """
    architectures = ARCHITECTURES[spec.task]
    if spec.architecture not in architectures:
        known = ", ".join(architectures)
        raise ModelError(f"unknown {spec.task} architecture {spec.architecture!r}; this pocketsight has: {known}")
    architecture = architectures[spec.architecture]
    size = (None, None) if any_size and architecture.strides else spec.input_size
    return architecture.build(size, len(spec.labels), batch=batch)


def load_run(folder: Path, batch: int | None = None) -> tuple[keras.Model, ModelSpec]:
    """A trained network and its spec. Raises ModelError when the folder has no finished training."""
    manifest, weights = folder / MANIFEST_NAME, folder / WEIGHTS_FILE
    if not manifest.exists():
        raise ModelError(f"{folder} is not a run folder: it has no {MANIFEST_NAME}; make one with: pocketsight train")
    spec = ModelSpec.from_json(manifest.read_text(), manifest)
    if not weights.exists():
        raise ModelError(f"{folder} has an unfinished training; continue it with: pocketsight train ... --resume")
    net = build_network(spec, batch)
    net.load_weights(weights)
    return net, spec


def as_model(net: keras.Model, spec: ModelSpec) -> Model:
    """A Keras network as a Model, so that the board's code can run it. It takes uint8 images (H, W, 3)."""

    def infer(image: Image) -> dict[str, QuantizedTensor]:
        outputs = net.predict_on_batch(image[np.newaxis].astype(np.float32))
        return {name: QuantizedTensor(np.asarray(value)[0]) for name, value in outputs.items()}

    return Model(infer, spec)
