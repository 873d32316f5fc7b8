"""The network of a run folder from Keras' own layers only, with outputs that need no decoding.

Keras loads such a network without pocketsight. A classifier gives probabilities; a detector gives the boxes and scores
of all its cells, which are what `decode` in device/inference/postprocess.py reads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.vision.box_encoding import cell_centers
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.layers import BatchNormalization, SpaceToWidth

layers = keras.layers


def build_stock_network(net: keras.Model, spec: ModelSpec) -> keras.Model:
    """A copy of the network with the same weights. It takes RGB images "image" (B, H, W, 3), 0..255.

    The output of a classifier is "probabilities" (B, classes), in the order of the labels. A detector has a dict of
    "boxes" (B, cells, 4), in pixels of the input, and "scores" (B, cells), or (B, cells, labels) where it has several;
    NMS is left to the caller. Raises ModelError when a layer is not one of Keras.
    """
    copy = keras.models.clone_model(net, clone_function=_to_stock_layer)
    copy.set_weights(net.get_weights())
    build_outputs = _decode_boxes if spec.task == "detector" else _predict_probabilities
    return keras.Model(copy.input, build_outputs(copy, spec), name=spec.task)


def _to_stock_layer(layer: keras.Layer) -> keras.Layer:
    if isinstance(layer, SpaceToWidth):
        return layers.Reshape(layer.output.shape[1:], name=layer.name)
    kind = keras.layers.BatchNormalization if isinstance(layer, BatchNormalization) else type(layer)
    if not kind.__module__.startswith("keras."):
        raise ModelError(f"the layer {layer.name} is a {kind.__name__} of pocketsight, which Keras alone cannot load")
    return kind.from_config(layer.get_config())


def _predict_probabilities(net: keras.Model, spec: ModelSpec) -> Any:
    """Softmax in place of the last layer. The score s of the second of two classes is the softmax of (0, logit(s))."""
    (name,) = net.output_names
    last = net.get_layer(name)
    kernel, bias = last.get_weights()
    if name == "score":
        kernel, bias = np.pad(kernel, ((0, 0), (1, 0))), np.pad(bias, (1, 0))
    head = layers.Dense(len(spec.labels), activation="softmax", name="probabilities")
    probabilities = head(last.input)
    head.set_weights([kernel / spec.temperature, bias / spec.temperature])
    return probabilities


def _decode_boxes(net: keras.Model, spec: ModelSpec) -> dict[str, Any]:
    outputs, boxes, scores = net.output, [], []
    for stride in spec.strides:
        grid = outputs[f"box_{stride}"]
        centers = np.tile(cell_centers(spec.input_size, stride), 2).reshape(grid.shape[1:])
        # Lists, since early versions of Keras 3 cannot load arrays here.
        sides = layers.Rescaling([-stride, -stride, stride, stride], centers.tolist(), name=f"sides_{stride}")(grid)
        boxes.append(layers.Reshape((-1, 4))(sides))
        shape = (-1,) if len(spec.labels) == 1 else (-1, len(spec.labels))
        scores.append(layers.Reshape(shape)(outputs[f"score_{stride}"]))
    if not spec.strides:  # it finds one box
        height, width = spec.input_size
        sides = layers.Rescaling([width, height, width, height], name="sides")(outputs["box"])
        boxes, scores = [layers.Reshape((1, 4))(sides)], [outputs["score"]]
    return {
        "boxes": layers.Concatenate(axis=1, name="boxes")(boxes),
        "scores": layers.Concatenate(axis=1, name="scores")(scores),
    }
