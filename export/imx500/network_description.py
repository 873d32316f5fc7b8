"""A Keras 3 network as plain values: Sony's tools need Keras 2, which cannot read it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import ModelError
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.layers import BatchNormalization, SpaceToWidth

NOT_PASSED_ON = "name", "dtype", "trainable", "batch_shape"
PLAIN_TYPES = bool, int, float, str, type(None)


def describe_network(net: keras.Model) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """The layers of a network in their order, ready for JSON, and the weights of each by "layer/number".

    A layer has its name, the class of Keras, the arguments, and the names of the layers whose outputs it takes.
    Raises ModelError when a layer is not one of Keras, is used twice, or is a SpaceToWidth that no convolution follows.
    """
    described: list[dict[str, Any]] = []
    weights: dict[str, NDArray[np.float32]] = {}
    folded: dict[str, SpaceToWidth] = {}  # layers that become part of the convolution after them
    for layer in net.operations:
        inputs = _input_names(layer)
        if isinstance(layer, SpaceToWidth):
            folded[layer.name] = layer
            continue
        entry = {"name": layer.name, "kind": _kind(layer), "arguments": _arguments(layer), "inputs": inputs}
        values = [np.asarray(weight, np.float32) for weight in layer.get_weights()]
        if inputs and inputs[0] in folded:
            _fold(entry, values, folded[inputs[0]])
        described.append(entry)
        weights |= {f"{layer.name}/{number}": value for number, value in enumerate(values)}
    return {
        "input": list(net.input.shape[1:]),
        "layers": described,
        "outputs": {name: tensor._keras_history.operation.name for name, tensor in sorted(net.output.items())},
    }, weights


def _input_names(layer: keras.Layer) -> list[str]:
    if len(layer._inbound_nodes) != 1:
        raise ModelError(f"the layer {layer.name} is used more than once, which this export cannot carry over")
    return [tensor._keras_history.operation.name for tensor in layer._inbound_nodes[0].input_tensors]


def _kind(layer: keras.Layer) -> str:
    """The name of the class in Keras 2."""
    kind = type(layer)
    if not kind.__module__.startswith("keras.") and not isinstance(layer, BatchNormalization):
        raise ModelError(f"the layer {layer.name} is a {kind.__name__} of pocketsight, which Sony's tools cannot load")
    return kind.__name__


def _arguments(layer: keras.Layer) -> dict[str, Any]:
    """The plain values among the arguments of a layer; initializers and types are left out."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in layer.get_config().items()
        if name not in NOT_PASSED_ON
        and (isinstance(value, PLAIN_TYPES) or (isinstance(value, list | tuple) and all(map(_is_plain, value))))
    }


def _is_plain(value: object) -> bool:
    return isinstance(value, PLAIN_TYPES)


def _fold(entry: dict[str, Any], values: list[NDArray[np.float32]], block: SpaceToWidth) -> None:
    """Let a convolution of one column take `block_size` columns of pixels instead of the reshaped input.

    A column of the reshaped input holds the channels of these pixels one after the other, so the weights are the same.
    """
    arguments, width = entry["arguments"], block.block_size
    if entry["kind"] != "Conv2D" or arguments["kernel_size"][1] != 1 or arguments["strides"][1] != 1:
        raise ModelError(
            f"no convolution of one column follows the layer {block.name}; this export cannot carry it over"
        )
    rows, _, channels, filters = values[0].shape
    values[0] = values[0].reshape(rows, width, channels // width, filters)
    arguments["kernel_size"], arguments["strides"] = [rows, width], [arguments["strides"][0], width]
    entry["inputs"] = _input_names(block)
