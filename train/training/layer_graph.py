"""The layers of a network as a graph for TensorBoard, with every backend of Keras.

TensorBoard fails to read the JSON of a Keras 3 network whose outputs have names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboardX.proto.attr_value_pb2 import AttrValue
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.node_def_pb2 import NodeDef
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboardX.proto.versions_pb2 import VersionDef

from pocketsight.train.keras_backend import keras

# They are drawn inside the box of the layer before them.
JOINED = keras.layers.BatchNormalization, keras.layers.ReLU, keras.layers.Activation, keras.layers.Dropout


def layer_graph(net: keras.Model) -> GraphDef:
    """The layers of a functional network, with the shapes of their outputs and their numbers of parameters."""
    inputs = {config["name"]: _input_names(config["inbound_nodes"]) for config in net.get_config()["layers"]}
    names = _node_names(net.layers, inputs)
    nodes = [
        NodeDef(
            name=names[layer.name],
            op=type(layer).__name__,
            input=[names[source] for source in inputs[layer.name]],
            attr={
                "_output_shapes": AttrValue(list=AttrValue.ListValue(shape=[_shape_proto(layer.output.shape)])),
                "parameters": AttrValue(i=layer.count_params()),
            },
        )
        for layer in net.layers
    ]
    return GraphDef(node=nodes, versions=VersionDef(producer=22))


def _node_names(layers: Sequence[keras.layers.Layer], inputs: Mapping[str, list[str]]) -> dict[str, str]:
    """The name of each layer's node: its own, or BOX/NAME if a layer is joined to another."""
    used = {source for sources in inputs.values() for source in sources}
    boxes: dict[str, str] = {}
    for layer in layers:
        joined = isinstance(layer, JOINED) and layer.name in used and len(inputs[layer.name]) == 1
        boxes[layer.name] = boxes[inputs[layer.name][0]] if joined else layer.name
    sizes = Counter(boxes.values())
    return {name: _plain(name) if sizes[box] == 1 else f"{_plain(box)}/{_plain(name)}" for name, box in boxes.items()}


def _plain(name: str) -> str:
    """TensorBoard draws add_1, add_2, ... as one node, but not add-1, add-2."""
    return re.sub(r"_(\d+)$", r"-\1", name)


def _shape_proto(shape: tuple[int | None, ...]) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=-1 if side is None else side) for side in shape])


def _input_names(config: Any) -> list[str]:
    """The layers whose outputs occur in the serialized arguments of another layer."""
    if isinstance(config, dict) and config.get("class_name") == "__keras_tensor__":
        return [config["config"]["keras_history"][0]]
    parts = config.values() if isinstance(config, dict) else config if isinstance(config, list | tuple) else ()
    return [name for part in parts for name in _input_names(part)]
