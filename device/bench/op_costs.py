"""Multiply-adds and bytes of each operator of a model. They are counted from shapes, so they hold on any hardware."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

# Operators that sum products too, but whose multiply-adds are not counted here.
UNCOUNTED_OPS = "BATCH_MATMUL", "CONV_3D", "UNIDIRECTIONAL_SEQUENCE_LSTM", "WHILE", "CUSTOM"


@dataclass(frozen=True)
class Cost:
    """The work of one operator. Tensors are given by their indices in the file."""

    index: int
    op: str
    inputs: tuple[int, ...]  # computed tensors; empty for an operator that makes a constant
    constants: tuple[int, ...]
    outputs: tuple[int, ...]
    shape: tuple[int, ...]  # of its first output
    macs: int  # multiply-adds; 0 for operators that are not a sum of products
    weight_bytes: int  # constants read at each inference; 0 for an operator that makes a constant, which runs once
    activation_bytes: int  # computed values read and written


def count_costs(interpreter: Any) -> list[Cost]:
    """The cost of each operator of a loaded model, in execution order, also of those that a delegate runs."""
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    nodes = [node for node in interpreter._get_ops_details() if node["op_name"] != "DELEGATE"]
    computed = {detail["index"] for detail in interpreter.get_input_details()}
    for node in nodes:
        if computed.intersection(node["inputs"].tolist()):  # others make a constant, such as weights from float16
            computed.update(node["outputs"].tolist())
    return [_cost(node, tensors, computed) for node in nodes]


def _cost(node: dict[str, Any], tensors: dict[int, Any], computed: set[int]) -> Cost:
    reads = [int(index) for index in node["inputs"] if index >= 0]  # -1: an optional input that is missing
    writes = tuple(int(index) for index in node["outputs"])
    inputs = tuple(index for index in reads if index in computed)
    constants = tuple(index for index in reads if index not in computed)
    return Cost(
        index=node["index"],
        op=node["op_name"],
        inputs=inputs,
        constants=constants,
        outputs=writes,
        shape=_shape(tensors[writes[0]]),
        macs=_macs(node["op_name"], [_shape(tensors[index]) for index in reads], _shape(tensors[writes[0]])),
        weight_bytes=sum(_bytes(tensors[index]) for index in constants if inputs),
        activation_bytes=sum(_bytes(tensors[index]) for index in (*inputs, *writes)),
    )


def _macs(op: str, reads: list[tuple[int, ...]], out: tuple[int, ...]) -> int:
    """Multiply-adds from the shapes of the inputs and of the output.

    Weights have the shape (out, height, width, in) in CONV_2D, where groups make "in" smaller, (1, height, width, out)
    in DEPTHWISE_CONV_2D, and (out, in) in FULLY_CONNECTED. TRANSPOSE_CONV multiplies each input value.
    """
    if op == "CONV_2D":
        return prod(out) * prod(reads[1][1:])
    if op == "DEPTHWISE_CONV_2D":
        return prod(out) * prod(reads[1][1:3])
    if op == "FULLY_CONNECTED":
        return prod(out) * reads[1][1]
    if op == "TRANSPOSE_CONV":
        return prod(reads[2]) * prod(reads[1][:3])
    return 0


def _shape(detail: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(n) for n in detail["shape"])


def _bytes(detail: dict[str, Any]) -> int:
    return prod(_shape(detail)) * int(np.dtype(detail["dtype"]).itemsize)
