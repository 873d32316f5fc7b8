"""Each rule of Coral's list, broken by a model made in memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import SHIPPED_MODELS
from pocketsight.export.edgetpu_ops import RULES, check_support
from pocketsight.export.graph import Graph, GraphTensor, Operator, read_graph
from tests.support.corals import become, graph, operator, packed

SENTIMENT = SHIPPED_MODELS["classifier"]


def check(flatbuffer: bytes) -> list[str]:
    """Why each operator that falls to the CPU does."""
    return [f"{v.operator.name} {v.cpu_reason}" for v in check_support(read_graph(flatbuffer)) if v.cpu_reason]


@pytest.mark.parametrize("task", ["detector", "classifier"])
def test_nothing_speaks_against_the_shipped_models(task: str) -> None:
    assert check(read_model_file(SHIPPED_MODELS[task])[0]) == []


def changed(change: Callable[[Any], None]) -> bytes:
    """The shipped classifier after a change to its graph."""
    model = graph(read_model_file(SENTIMENT)[0])
    change(model)
    return packed(model)


def retype(model: Any) -> None:
    model.subgraphs[0].tensors[operator(model, "MEAN").outputs[0]].type = schema.TensorType.FLOAT32


def unfix(model: Any) -> None:
    tensor = model.subgraphs[0].tensors[operator(model, "FULLY_CONNECTED").outputs[0]]
    tensor.shapeSignature = [-1, 5]


def unfold(model: Any) -> None:
    model.subgraphs[0].tensors[operator(model, "FULLY_CONNECTED").outputs[0]].shape = [2, 1, 1, 5]


def group(model: Any) -> None:
    model.subgraphs[0].tensors[operator(model, "CONV_2D").inputs[1]].shape = [112, 1, 1, 64]


@pytest.mark.parametrize(
    ("change", "first", "count"),
    [
        (lambda m: become(m, "MEAN", "LEAKY_RELU"), "LEAKY_RELU not on Coral's list", 2),
        (lambda m: become(m, "FULLY_CONNECTED", "GELU"), "GELU not on Coral's list", 1),
        (lambda m: become(m, "FULLY_CONNECTED", None, "MyOwn"), "MyOwn not on Coral's list", 1),
        (lambda m: become(m, "CONV_2D", "CONV_2D", version=6), "CONV_2D the compiler refuses files with CONV_2D", 29),
        (lambda m: m.subgraphs.append(m.subgraphs[0]), "CONV_2D the file has 2 subgraphs, and one is supported", 29),
        (retype, "MEAN works on FLOAT32", 2),
        (unfix, "FULLY_CONNECTED has a dynamic size", 1),
        (unfold, "FULLY_CONNECTED only the three innermost dimensions may exceed 1, this is 2x1x1x5", 1),
        (group, "CONV_2D a grouped convolution: 64 of 112 channels", 4),
        (lambda m: setattr(operator(m, "CONV_2D").builtinOptions, "dilationWFactor", 2), "CONV_2D dilates", 4),
    ],
)
def test_what_breaks_a_rule_is_named_and_ends_the_piece(change: Callable[[Any], None], first: str, count: int) -> None:
    found = check(changed(change))
    assert found[0].startswith(first)
    assert len(found) == count
    assert all("comes after" in line for line in found[1:]) or len(set(line.split(" ", 1)[1] for line in found)) == 1


def test_what_falls_off_before_the_piece_does_not_end_it() -> None:
    model = graph(read_model_file(SENTIMENT)[0])
    first = model.subgraphs[0].operators[0]
    first.builtinOptions.dilationHFactor = 3
    assert check(packed(model)) == ["CONV_2D dilates differently in x and y"]


def tensor(*shape: int, data: Any = None, kind: str = "INT8", zero: int = 0) -> GraphTensor:
    return GraphTensor("t", kind, shape, False, (0.5, zero), None if data is None else np.asarray(data).tobytes())


def axes(*numbers: int) -> GraphTensor:
    return tensor(len(numbers), data=np.array(numbers, np.int32), kind="INT32")


def why(name: str, inputs: list[GraphTensor], output: GraphTensor, version: int = 1, **options: Any) -> str:
    """What the check says of one operator alone."""
    op = Operator(name, version, tuple(inputs), (output,), options)
    return check_support(Graph([op], [output], {}, 1))[0].cpu_reason


CUBE = tensor(1, 8, 8, 6)
ROW = tensor(1, 10)
MATRIX = tensor(5, 10, data=np.zeros(50, np.int8))


@pytest.mark.parametrize(
    ("name", "inputs", "output", "options", "says"),
    [
        ("MAX_POOL_2D", [CUBE], CUBE, {"fusedActivationFunction": 1}, "has a fused activation"),
        ("AVERAGE_POOL_2D", [CUBE], CUBE, {"fusedActivationFunction": 3}, "has a fused activation"),
        ("AVERAGE_POOL_2D", [CUBE], CUBE, {"fusedActivationFunction": 0}, ""),
        ("CONCATENATION", [CUBE, CUBE], CUBE, {"fusedActivationFunction": 1}, "has a fused activation"),
        ("CONCATENATION", [CUBE, CUBE, CUBE], CUBE, {}, ""),
        ("CONCATENATION", [CUBE, tensor(1, 2, data=np.array([3, 3], np.int8), zero=3)], CUBE, {}, ""),
        ("CONCATENATION", [CUBE, tensor(1, 2, data=np.array([3, 4], np.int8), zero=3)], CUBE, {}, "not zeros"),
        ("CONCATENATION", [CUBE, CUBE, tensor(1, 1, data=np.zeros(1, np.int8))], CUBE, {}, "joins a constant"),
        ("DEPTHWISE_CONV_2D", [CUBE, CUBE], CUBE, {}, "its weights are computed"),
        ("TRANSPOSE_CONV", [axes(1, 8, 8, 6), CUBE, CUBE], CUBE, {}, "its weights are computed"),
        ("FULLY_CONNECTED", [ROW, MATRIX], tensor(1, 5), {"weightsFormat": 0}, ""),
        ("FULLY_CONNECTED", [ROW, MATRIX], tensor(1, 5), {"weightsFormat": 1}, "special format"),
        ("FULLY_CONNECTED", [ROW, MATRIX], tensor(2, 5), {}, "its output must have one dimension, this is 2x5"),
        ("MEAN", [CUBE, axes(1, 2)], tensor(1, 6), {}, ""),
        ("MEAN", [CUBE, axes(-1)], tensor(1, 8, 8), {}, "a mean over 6 channels: they must be a multiple of 4"),
        ("MEAN", [tensor(1, 8, 8, 8), axes(3)], tensor(1, 8, 8), {}, ""),
        ("REDUCE_MAX", [CUBE, axes(0)], tensor(8, 8, 6), {}, "reduces the batch"),
        ("PAD", [CUBE, tensor(4, 2, data=np.array([0, 0, 1, 1, 1, 1, 0, 0], np.int32), kind="INT32")], CUBE, {}, ""),
        (
            "PAD",
            [CUBE, tensor(4, 2, data=np.array([1, 0, 0, 0, 0, 0, 0, 0], np.int32), kind="INT32")],
            CUBE,
            {},
            "pads the batch",
        ),
        ("PACK", [tensor(8, 8, 6)], CUBE, {"axis": 0}, "packs the batch"),
        ("PRELU", [CUBE, tensor(1, 1, 6, data=np.zeros(6, np.int8))], CUBE, {}, ""),
        ("PRELU", [CUBE, tensor(8, 8, 6, data=np.zeros(384, np.int8))], CUBE, {}, "more than one alpha"),
        ("SOFTMAX", [tensor(1, 16_000)], tensor(1, 16_000), {}, ""),
        ("SOFTMAX", [tensor(1, 16_001)], tensor(1, 16_001), {}, "takes one dimension of 16000 at most"),
        ("SOFTMAX", [tensor(4, 5)], tensor(4, 5), {}, "takes one dimension"),
        ("SQUEEZE", [tensor(1, 5, 10)], tensor(5, 10), {}, ""),
        ("SQUEEZE", [tensor(5, 1, 10)], tensor(5, 10), {"squeezeDims": [1]}, "more than the ones in front"),
        ("STRIDED_SLICE", [CUBE, axes(0, 0), axes(1, 4), axes(1, 1)], CUBE, {}, ""),
        ("STRIDED_SLICE", [CUBE, axes(0, 0), axes(1, 4), axes(1, 2)], CUBE, {}, "strides of 1 only"),
        ("STRIDED_SLICE", [CUBE, axes(0), axes(1), axes(1)], CUBE, {"newAxisMask": 1}, "strides of 1 only"),
        ("RESHAPE", [CUBE, tensor(2, kind="INT32")], ROW, {}, "works on INT32"),  # a size that is computed
        ("QUANTIZE", [tensor(1, 4, kind="FLOAT32")], tensor(1, 4), {}, "works on FLOAT32"),
        ("TILE", [CUBE, axes(1, 2, 2, 1)], CUBE, {}, "not on Coral's list"),
        ("HARD_SWISH", [CUBE], CUBE, {}, "not on Coral's list"),
        ("DEPTH_TO_SPACE", [CUBE], CUBE, {}, "not on Coral's list"),
    ],
)
def test_the_limits_of_each_operator(
    name: str, inputs: list[GraphTensor], output: GraphTensor, options: dict[str, Any], says: str
) -> None:
    found = why(name, inputs, output, **options)
    assert says in found and bool(says) == bool(found)


@pytest.mark.parametrize(("name", "version"), [("CONV_2D", 6), ("TRANSPOSE_CONV", 4), ("QUANTIZE", 3), ("EXP", 2)])
def test_versions_that_the_compiler_was_seen_to_refuse(name: str, version: int) -> None:
    weights = tensor(6, 1, 1, 6, data=np.zeros(36, np.int8))
    inputs = [axes(1, 8, 8, 6), weights, CUBE] if name == "TRANSPOSE_CONV" else [CUBE, weights]
    assert f"refuses files with {name} version {version}" in why(name, inputs, CUBE, version)
    assert why(name, inputs, CUBE, version - 1) == ("" if name in RULES else "not on Coral's list")


def test_what_the_list_leaves_open_is_said() -> None:
    notes = {
        v.operator.name: v.note
        for v in check_support(read_graph(read_model_file(SHIPPED_MODELS["detector"])[0]))
        if v.note
    }
    assert set(notes) == {"RESHAPE", "RESIZE_BILINEAR"}
