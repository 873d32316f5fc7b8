"""A run folder: what one training leaves behind.

manifest.json      the facts of the model; `pocketsight export tflite` completes it
model.weights.h5   the averaged weights
history.csv        losses by epoch; curves.png shows them
samples.png        what it learned from; found.png or named.png what it made of pictures held out, failures.html what
                   went wrong; scores.json, plots
checkpoint.*       what --resume goes on from
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.image import Image
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.registry import ARCHITECTURES


def build_network(spec: ModelSpec, batch: int | None = None, any_size: bool = False) -> keras.Model:
    """The net of a spec, without weights. Raises ModelError when this version does not know its architecture.

    `free`: one that takes pictures of any size, if the net can.
    """
    archs = ARCHITECTURES[spec.task]
    if spec.architecture not in archs:
        raise ModelError(f"this pocketsight has no {spec.task} net {spec.architecture!r}; it has: {', '.join(archs)}")
    classes = () if spec.task == "detector" else (len(spec.labels),)
    arch = archs[spec.architecture]
    return arch.build((None, None) if any_size and arch.strides else spec.input_size, *classes, batch=batch)


def load_run(folder: Path, batch: int | None = None) -> tuple[keras.Model, ModelSpec]:
    """A trained net and its spec. Raises ModelError when the folder holds no finished training."""
    manifest, weights = folder / MANIFEST_NAME, folder / WEIGHTS_FILE
    if not manifest.exists():
        raise ModelError(f"{folder} is not a run folder: it has no {MANIFEST_NAME}; make one with: pocketsight train")
    spec = ModelSpec.from_json(manifest.read_text(), manifest)
    if not weights.exists():
        raise ModelError(f"{folder} holds an unfinished training; go on with it by: pocketsight train ... --resume")
    net = build_network(spec, batch)
    net.load_weights(weights)
    return net, spec


def as_model(net: keras.Model, spec: ModelSpec) -> Model:
    """A Keras net in the board's form, so that the board's code can run it."""

    def model(image: Image) -> dict[str, QuantizedTensor]:
        outputs = net.predict_on_batch(image[np.newaxis].astype(np.float32))
        return {name: QuantizedTensor(np.asarray(value)[0]) for name, value in outputs.items()}

    return Model(model, spec)


WEIGHTS_FILE = "model.weights.h5"


CHECKPOINT_FILE = "checkpoint.weights.h5"


HISTORY_FILE = "history.csv"
