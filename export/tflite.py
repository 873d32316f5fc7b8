"""Convert a Keras network to TFLite, and check the result: the converter falls back to float silently."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pocketsight.device.errors import ParityError
from pocketsight.device.inference.interpreter import import_runtime
from pocketsight.device.system.stderr import suppress_stderr
from pocketsight.device.vision.image import Image
from pocketsight.export.calibration import representative_dataset
from pocketsight.export.compact import compact


def convert(net: Any, precision: str, samples: Sequence[Image]) -> bytes:
    """A flatbuffer from a network with a batch size of 1. Inputs and outputs are int8 with "int8", else float32.

    "dynamic" has int8 weights and float32 arithmetic; "float16" only halves the file. `samples` set the int8 ranges.
    """
    import tensorflow as tf

    # The converter prints and warns about its temporary files.
    with suppress_stderr(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_keras_model(net)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = partial(representative_dataset, samples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        return compact(bytes(converter.convert()))


def find_problems(flatbuffer: bytes, precision: str) -> list[str]:
    """Problems of an exported graph, one line each: dynamic shapes, and float operators in an int8 model."""
    module, _ = import_runtime()
    plain = module.Interpreter(
        model_content=flatbuffer, experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    tensors = {t["index"]: t for t in plain.get_tensor_details()}
    problems = []
    for op in plain._get_ops_details():
        touched = [tensors[index] for index in (*op["inputs"], *op["outputs"]) if index in tensors]
        if any((t["shape_signature"] < 0).any() for t in touched):
            problems.append(f"operator {op['op_name']} has a dynamic shape; build the network with a batch size of 1")
        if precision == "int8" and any(t["dtype"] in (np.float32, np.float16) for t in touched):
            problems.append(f"operator {op['op_name']} stayed in float; TFLite has no int8 version of it")
    return list(dict.fromkeys(problems))


def read_min_runtime_version(flatbuffer: bytes) -> str:
    """The oldest TFLite version with all operators, as noted by the converter; "" where it is missing."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(flatbuffer, 0)
    for number in range(model.MetadataLength()):
        entry = model.Metadata(number)
        if entry.Name() == b"min_runtime_version":
            return bytes(model.Buffers(entry.Buffer()).DataAsNumpy()).rstrip(b"\0").decode()
    return ""


def count_partitions(flatbuffer: bytes) -> int:
    """The number of partitions in which XNNPACK takes the graph; each border costs a copy."""
    module, _ = import_runtime()
    with suppress_stderr():
        interpreter = module.Interpreter(model_content=flatbuffer)
        interpreter.allocate_tensors()
    return sum(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())


def require_clean_graph(flatbuffer: bytes, precision: str) -> None:
    """Raise ParityError, naming the operator, when the graph is dynamic, partly float, or split for XNNPACK."""
    problems = find_problems(flatbuffer, precision)
    if precision == "int8" and not problems and (count := count_partitions(flatbuffer)) > 1:
        problems = [
            f"XNNPACK takes the graph in {count} partitions instead of one; an operator between has no fast version"
        ]
    if problems:
        raise ParityError("; ".join(problems))
