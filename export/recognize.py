"""What another program's model is, seen from its graph: its task, its family, and which tensor is which output."""

from __future__ import annotations

from operator import add, mul, sub, truediv
from typing import NamedTuple

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.inference import blazeface, ssd, yolo
from pocketsight.export.graph import Graph, GraphTensor, Operator

COMPILED = "edgetpu-custom-op"
CHANGES_NO_VALUE = "DEQUANTIZE", "QUANTIZE", "RESHAPE", "SQUEEZE", "CAST"
ARITHMETIC = {"MUL": mul, "DIV": truediv, "ADD": add, "SUB": sub}
YOLOV5_ANCHORS = 3  # of each cell
END2END_VALUES = 6  # of a box after NMS: four sides, score, class


class Kind(NamedTuple):
    """What a model is."""

    task: str
    family: str
    """One of the manifest's FAMILIES; "" for a classifier."""
    outputs: dict[str, str]
    """The tensor of each output that decoding reads."""
    reason: str
    """How that shows, for messages."""


def recognize(graph: Graph, input_size: tuple[int, int]) -> Kind:
    """The kind of a graph with an input of (height, width). Raises ModelError when it is none of the known ones."""
    for operator in graph.operators:
        if operator.name == COMPILED:
            raise ModelError("it was compiled for a Coral: adopt the file that it was compiled from")
        if operator.name == ssd.OPERATOR:
            names = [tensor.name for tensor in operator.outputs]
            outputs = dict(zip(ssd.OUTPUTS, names, strict=True))
            return Kind("detector", "ssd", outputs, f"it has the operator {ssd.OPERATOR}")
    tensors, shapes = graph.outputs, [tensor.shape for tensor in graph.outputs]
    if len(tensors) == 2 and sorted(len(shape) for shape in shapes) == [3, 3]:
        scores, boxes = sorted(tensors, key=lambda tensor: tensor.shape[-1])
        if (scores.shape[-1], boxes.shape[-1]) == (1, blazeface.VALUES):
            reason = f"its outputs are {boxes.shape} and {scores.shape}"
            return Kind("detector", "blazeface", {"boxes": boxes.name, "scores": scores.name}, reason)
    if len(tensors) == 1 and len(shapes[0]) == 3 and min(shapes[0][1:]) > 1:
        return _recognize_yolo(tensors[0], input_size)
    if len(tensors) == 1 and shapes[0] and max(shapes[0]) == int(np.prod(shapes[0])):
        name, reason = _classifier_output(graph)
        return Kind("classifier", "", {name: tensors[0].name}, reason)
    raise ModelError(
        f"its outputs are {', '.join(f'{tensor.name} {tensor.shape}' for tensor in tensors)}: neither a classifier, "
        "an SSD with its post-processing, a YOLO v8 or 11, nor BlazeFace"
    )


def _recognize_yolo(output: GraphTensor, input_size: tuple[int, int]) -> Kind:
    _, first, second = output.shape
    counts = yolo.cell_counts(input_size)
    if first in counts or second in counts:
        return Kind("detector", "yolo", {yolo.OUTPUT: output.name}, f"its output is {output.shape}")
    if first in [YOLOV5_ANCHORS * count for count in counts]:
        raise ModelError(f"its output {output.shape} is that of YOLO v5 or v7; adopt a YOLO v8 or 11")
    if second == END2END_VALUES:
        raise ModelError(
            f"its output {output.shape} has boxes after NMS; export it again with nms=False and end2end=False"
        )
    raise ModelError(
        f"its output is {output.shape}; a YOLO v8 or 11 with an input of {input_size[0]}x{input_size[1]} has "
        f"{counts[0]} cells"
    )


def _classifier_output(graph: Graph) -> tuple[str, str]:
    """The name of the only output, and why."""
    producer = find_producer(graph, graph.outputs[0])
    count = max(graph.outputs[0].shape)
    if producer and producer.name in ("SOFTMAX", "LOGISTIC"):
        return "score" if count == 1 else "probabilities", f"its last operator is {producer.name}"
    if count == 1:
        raise ModelError("its only output is one number without LOGISTIC before it, which is no probability")
    return "logits", "it does not end with SOFTMAX"


def find_producer(graph: Graph, tensor: GraphTensor) -> Operator | None:
    """The operator that computes a tensor, before those that only change its form; None: it is not computed."""
    for operator in reversed(graph.operators):
        if any(output is tensor for output in operator.outputs):
            if operator.name not in CHANGES_NO_VALUE:
                return operator
            tensor = operator.inputs[0]
    return None


def find_rescaling(graph: Graph, input_name: str) -> tuple[float, float] | None:
    """What the first operators make of the pixel values 0 and 255, if they only scale and shift; None: they do not.

    Keras networks often begin with such layers; they want pixels of 0 to 255.
    """
    low, high, name = 0.0, 255.0, input_name
    rescaled = False
    for operator in graph.operators:
        variable = [tensor for tensor in operator.inputs if not tensor.is_constant]
        constants = [tensor for tensor in operator.inputs if tensor.is_constant]
        if not variable or variable[0].name != name:
            continue
        if operator.name not in ARITHMETIC or len(constants) != 1 or constants[0].type != "FLOAT32":
            break
        values = np.unique(np.frombuffer(constants[0].data or b"", np.float32))
        if len(values) != 1:
            break
        low, high = (ARITHMETIC[operator.name](value, float(values[0])) for value in (low, high))
        rescaled, name = True, operator.outputs[0].name
    return (low, high) if rescaled else None
