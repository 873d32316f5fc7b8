"""Read the graph of a .tflite as plain values: operators and tensors. Needs no TensorFlow and runs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GraphTensor:
    """An input or output of operators, computed or constant."""

    name: str
    type: str  # TFLite's name: INT8, FLOAT32
    shape: tuple[int, ...]
    is_dynamic: bool  # its size is unknown before it runs
    quantization: tuple[float, int]  # scale and zero point of the first channel; (0, 0): not quantized
    data: bytes | None  # None: computed

    @property
    def is_constant(self) -> bool:
        return self.data is not None

    @property
    def values(self) -> NDArray[Any]:
        """The values of an integer constant; empty for a computed tensor."""
        kinds = {"INT8": np.int8, "UINT8": np.uint8, "INT32": np.int32, "INT64": np.int64}
        return np.frombuffer(self.data or b"", kinds.get(self.type, np.uint8)).ravel()

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator of the graph."""

    name: str  # TFLite's name, such as CONV_2D; a custom operator has its own
    version: int
    inputs: tuple[GraphTensor, ...]
    outputs: tuple[GraphTensor, ...]
    options: dict[str, Any]  # strides, fused activation and so on, named as in TFLite's schema
    is_custom: bool = False

    @property
    def computed_tensors(self) -> tuple[GraphTensor, ...]:
        """Inputs and outputs that are not constants."""
        return tuple(tensor for tensor in (*self.inputs, *self.outputs) if not tensor.is_constant)


class Graph(NamedTuple):
    """The first subgraph of a file, and the number of subgraphs."""

    operators: list[Operator]
    outputs: list[GraphTensor]
    outputs_by_name: dict[str, GraphTensor]  # by the names in the signature; {}: the file has none
    subgraph_count: int


def read_graph(flatbuffer: bytes) -> Graph:
    """Parse a flatbuffer. Check its sha256 before: the parser trusts its input."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer, 0))
    kinds, types = _names(schema.BuiltinOperator), _names(schema.TensorType)
    (graph, *_) = model.subgraphs
    tensors = [_tensor(tensor, types, model.buffers) for tensor in graph.tensors]
    operators = []
    for each in graph.operators:
        code = model.operatorCodes[each.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)  # the older field ends at 127
        custom = number == schema.BuiltinOperator.CUSTOM
        name = _text(code.customCode) if custom else kinds.get(number, f"operator {number}")
        options = vars(each.builtinOptions) if each.builtinOptions else _custom_options(each.customOptions)
        inputs, outputs = (tuple(tensors[i] for i in side if i >= 0) for side in (each.inputs, each.outputs))
        operators.append(Operator(name, code.version, inputs, outputs, options, custom))
    signature = model.signatureDefs[0].outputs if model.signatureDefs else []
    named = {_text(output.name): tensors[output.tensorIndex] for output in signature}
    return Graph(operators, [tensors[i] for i in graph.outputs], named, len(model.subgraphs))


def _custom_options(data: Any) -> dict[str, Any]:
    """The options of a custom operator, if it has them as a map."""
    from flatbuffers import flexbuffers

    try:
        options = flexbuffers.Loads(bytes(bytearray(data))) if data is not None and len(data) else {}
    except Exception:  # anything may be in there
        return {}
    return options if isinstance(options, dict) else {}


def _tensor(stored: Any, types: dict[int, str], buffers: list[Any]) -> GraphTensor:
    shape = () if stored.shape is None else tuple(int(n) for n in stored.shape)
    signature = shape if stored.shapeSignature is None else stored.shapeSignature
    data = buffers[stored.buffer].data
    quantization = stored.quantization
    scale, zero = 0.0, 0
    if quantization is not None and quantization.scale is not None:
        scale, zero = quantization.scale[0], quantization.zeroPoint[0]
    return GraphTensor(
        _text(stored.name),
        types.get(stored.type, f"type {stored.type}"),
        shape,
        any(int(n) < 0 for n in signature),
        (float(scale), int(zero)),
        None if data is None else bytes(bytearray(data)),
    )


def _names(kinds: type) -> dict[int, str]:
    return {number: name for name, number in vars(kinds).items() if isinstance(number, int)}


def _text(name: bytes | str | None) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name or ""
