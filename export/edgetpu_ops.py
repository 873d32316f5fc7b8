"""Check which operators a Coral's Edge TPU supports, by the published list, without its compiler.

The list is "Supported operations" in coral.ai/docs/edgetpu/models-intro. Operator versions are not documented. Those
that the last compiler, 16.0.384591198, refuses are known from its users: google-coral/edgetpu issues 631, 845 and 879,
google-coral/libedgetpu issue 71.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pocketsight.device.errors import ParityError
from pocketsight.export.graph import Graph, Operator

LARGE_RESHAPE_SIZE = 1 << 16  # elements; the list says "large" without a number
MAX_SOFTMAX_SIZE = 16_000
AFTER_UNMAPPED = "comes after one that is not mapped"
FIRST_REFUSED_VERSION = {"CONV_2D": 6, "EXP": 2, "QUANTIZE": 3, "TRANSPOSE_CONV": 4}  # and all higher versions
FIRST_CPU_DENSE_VERSION = 9  # of FULLY_CONNECTED; users report that the compiler leaves it to the CPU
# Versions in our exports. No report says whether the compiler maps or refuses them.
EXPORTED_VERSIONS = {
    "ADD": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "LOGISTIC": 2,
    "MEAN": 2,
    "QUANTIZE": 1,
    "RESIZE_BILINEAR": 3,
    "SOFTMAX": 2,
    "TRANSPOSE_CONV": 2,
}


@dataclass(frozen=True)
class OpSupport:
    """Whether an Edge TPU runs one operator."""

    operator: Operator
    cpu_reason: str = ""  # why it would run on the CPU; "": it runs on the Edge TPU
    note: str = ""  # why that is uncertain


def check_support(graph: Graph) -> list[OpSupport]:
    """The support of each operator, in the order of the graph.

    The compiler maps one contiguous part, from the first supported operator to before the next unsupported one. It may
    also refuse a whole file.
    """
    if refused := _file_refusal(graph):
        return [OpSupport(operator, refused) for operator in graph.operators]
    reasons = [_unmapped_reason(operator) for operator in graph.operators]
    begin = next((n for n, reason in enumerate(reasons) if not reason), len(reasons))
    end = next((n for n in range(begin, len(reasons)) if reasons[n]), len(reasons))
    return [
        OpSupport(op, reason or (AFTER_UNMAPPED if n > end else ""), "" if reason else _uncertainty(op))
        for n, (op, reason) in enumerate(zip(graph.operators, reasons, strict=True))
    ]


def require_supported(support: Sequence[OpSupport], max_on_cpu: int) -> None:
    """Raise ParityError, naming the operators, when more than `max_on_cpu` would run on the CPU."""
    reasons = Counter(f"{each.operator.name} {each.cpu_reason}" for each in support if each.cpu_reason)
    count = reasons.total()
    if count > max_on_cpu:
        named = "; ".join(f"{n} {name}" if n > 1 else name for name, n in reasons.items())
        raise ParityError(f"{count} of {len(support)} operators would run on the CPU: {named}")


def _file_refusal(graph: Graph) -> str:
    """Why the compiler refuses the whole file; "" if it does not."""
    if graph.subgraph_count > 1:
        return f"the file has {graph.subgraph_count} subgraphs, and one is supported"
    for op in graph.operators:
        if op.version >= FIRST_REFUSED_VERSION.get(op.name, op.version + 1):
            newest = FIRST_REFUSED_VERSION[op.name] - 1
            return f"the compiler refuses files with {op.name} version {op.version}; it knows up to {newest}"
    return ""


def _unmapped_reason(op: Operator) -> str:
    """Why an operator is not supported, whatever comes before it; "" if it is."""
    if op.is_custom or op.name not in RULES:
        return "not on Coral's list"
    return _check_tensors(op) or RULES[op.name](op)


def _check_tensors(op: Operator) -> str:
    """The rules for all operators: 8 bits, fixed sizes, at most three dimensions above 1."""
    for tensor in (*op.inputs, *op.outputs):
        if tensor.is_dynamic:
            return "has a dynamic size"
        allowed = ("INT8", "UINT8", "INT32") if tensor.is_constant else ("INT8", "UINT8")
        if tensor.type not in allowed:
            return f"works on {tensor.type}"
    for tensor in op.computed_tensors:
        if any(n > 1 for n in tensor.shape[:-3]):
            return f"only the three innermost dimensions may exceed 1, this is {_shape_text(tensor.shape)}"
    return ""


def _uncertainty(op: Operator) -> str:
    """Why it is uncertain that a supported operator is mapped; "" if it is certain."""
    if op.name == "RESHAPE" and op.outputs[0].size >= LARGE_RESHAPE_SIZE:
        return "certain reshapes of large tensors are not mapped"
    if op.name.startswith("RESIZE_"):
        return "may run on the CPU, depending on the sizes"
    if op.version > EXPORTED_VERSIONS.get(op.name, op.version):
        return f"version {op.version} is untested"
    return ""


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _check_nothing(op: Operator) -> str:
    return ""


def _check_weights(op: Operator) -> str:
    """The weights of a layer must be constants."""
    parameters = op.inputs[:2] if op.name == "TRANSPOSE_CONV" else op.inputs[1:]
    return "" if all(tensor.is_constant for tensor in parameters) else "its weights are computed"


def _check_convolution(op: Operator) -> str:
    if op.options.get("dilationWFactor", 1) != op.options.get("dilationHFactor", 1):
        return "dilates differently in x and y"
    pixels, weights = op.inputs[:2]
    if op.name == "CONV_2D" and weights.shape[-1] != pixels.shape[-1]:
        return f"a grouped convolution: {weights.shape[-1]} of {pixels.shape[-1]} channels"
    return _check_weights(op)


def _check_activation(op: Operator) -> str:
    return "has a fused activation" if op.options.get("fusedActivationFunction") else ""


def _check_concatenation(op: Operator) -> str:
    constants = [tensor for tensor in op.inputs if tensor.is_constant]
    zero = all(bool((tensor.values == tensor.quantization[1]).all()) for tensor in constants)
    if constants and (len(op.inputs) != 2 or not zero):
        return "joins a constant that is not zeros to one input"
    return _check_activation(op)


def _check_dense(op: Operator) -> str:
    shape = op.outputs[0].shape
    if op.version >= FIRST_CPU_DENSE_VERSION:
        return f"version {op.version}, which keeps its dimensions"
    if any(n > 1 for n in shape[:-1]):
        return f"its output must have one dimension, this is {_shape_text(shape)}"
    return "its weights have a special format" if op.options.get("weightsFormat") else _check_weights(op)


def _reduced_axes(op: Operator) -> set[int]:
    """The axes of a reduction, counted from the front."""
    rank = len(op.inputs[0].shape)
    return {int(axis) % rank for axis in op.inputs[1].values} if rank else set()


def _check_reduction(op: Operator) -> str:
    rank = len(op.inputs[0].shape)
    if rank == 4 and 0 in _reduced_axes(op):
        return "reduces the batch"
    depth = op.inputs[0].shape[-1] if rank else 0
    if op.name == "MEAN" and rank - 1 in _reduced_axes(op) and depth % 4:
        return f"a mean over {depth} channels: they must be a multiple of 4"
    return ""


def _check_pad(op: Operator) -> str:
    padding = op.inputs[1].values
    return "pads the batch" if len(op.inputs[0].shape) == 4 and padding[:2].any() else ""


def _check_pack(op: Operator) -> str:
    return "packs the batch" if op.options.get("axis") == 0 and len(op.outputs[0].shape) == 4 else ""


def _check_prelu(op: Operator) -> str:
    return "has more than one alpha a channel" if any(n > 1 for n in op.inputs[1].shape[:-1]) else ""


def _check_softmax(op: Operator) -> str:
    shape = op.inputs[0].shape
    if any(n > 1 for n in shape[:-1]) or shape[-1] > MAX_SOFTMAX_SIZE:
        return f"takes one dimension of {MAX_SOFTMAX_SIZE} at most, this is {_shape_text(shape)}"
    return ""


def _check_squeeze(op: Operator) -> str:
    """Only leading ones may be removed: [1, 5, 10] to [5, 10], not [5, 1, 10]."""
    shape, given = op.inputs[0].shape, op.options.get("squeezeDims")
    rank = len(shape)
    removed = {n for n in range(rank) if shape[n] == 1} if given is None else {int(n) % rank for n in given}
    lead = next((n for n in range(rank) if shape[n] > 1), rank)
    return "squeezes more than the ones in front" if any(n > lead for n in removed) else ""


def _check_slice(op: Operator) -> str:
    strided = any(int(n) != 1 for n in op.inputs[3].values) if len(op.inputs) > 3 else False
    if strided or op.options.get("ellipsisMask") or op.options.get("newAxisMask"):
        return "takes strides of 1 only, without ellipsis or new axis"
    return ""


# Name -> a function that returns why the operator is not supported, or "".
RULES: dict[str, Callable[[Operator], str]] = {
    **dict.fromkeys(
        (
            "ADD EXPAND_DIMS L2_NORMALIZATION LOGISTIC MAXIMUM MINIMUM MUL QUANTIZE RELU RELU6 RELU_N1_TO_1 "
            "RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SUB "
            "TANH TRANSPOSE UNIDIRECTIONAL_SEQUENCE_LSTM"
        ).split(),
        _check_nothing,
    ),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _check_convolution),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _check_activation),
    **dict.fromkeys(("MEAN", "REDUCE_MAX", "REDUCE_MIN", "SUM"), _check_reduction),
    "TRANSPOSE_CONV": _check_weights,
    "CONCATENATION": _check_concatenation,
    "FULLY_CONNECTED": _check_dense,
    "PACK": _check_pack,
    "PAD": _check_pad,
    "PRELU": _check_prelu,
    "SOFTMAX": _check_softmax,
    "SQUEEZE": _check_squeeze,
    "STRIDED_SLICE": _check_slice,
}
