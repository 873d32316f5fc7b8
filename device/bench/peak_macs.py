"""The peak rate of multiply-adds that the interpreter reaches on this machine.

It is measured with the workload that suits the interpreter best: one 1x1 convolution whose weights fit into the cache.
Its flatbuffer is written here, since boards have no library for flatbuffers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from pocketsight.device.bench.op_profile import time_interleaved
from pocketsight.device.inference.interpreter import import_runtime
from pocketsight.device.system.stderr import suppress_stderr

SIDE, CHANNELS = 32, 256  # of the input and of the output
MACS = SIDE * SIDE * CHANNELS * CHANNELS
ROUNDS = 30
WORKLOAD = f"a 1x1 convolution, {SIDE}x{SIDE}x{CHANNELS} to {CHANNELS} channels"
# Numbers of TFLite's schema:
# https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
CONV_2D, FLOAT32, INT32, INT8 = 3, 0, 2, 9

Fields = dict[int, Any]  # of a table: field number -> value; see `_append`


class PeakRate(TypedDict):
    """A measured peak rate."""

    dtype: str
    threads: int
    macs_per_second: int
    workload: str


def measure_peak_macs(precision: str, threads: int) -> PeakRate:
    """Multiply-adds per second in the fastest of ROUNDS: int8 for an int8 model, else float32."""
    dtype = "int8" if precision == "int8" else "float32"
    with suppress_stderr():
        interpreter = import_runtime()[0].Interpreter(model_content=build_convolution(dtype), num_threads=threads)
        interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    values = np.random.default_rng(0).integers(-100, 100, entry["shape"]).astype(entry["dtype"])
    interpreter.set_tensor(entry["index"], values)
    fastest = float(time_interleaved((interpreter.invoke,), ROUNDS).min()) / 1e6
    return {
        "dtype": dtype,
        "threads": threads,
        "macs_per_second": round(MACS / fastest),
        "workload": f"{dtype}: {WORKLOAD}",
    }


def build_convolution(dtype: str) -> bytes:
    """The flatbuffer of a model with one CONV_2D; `dtype` is int8 or float32."""
    rng = np.random.default_rng(0)
    is_int8 = dtype == "int8"
    weights = rng.integers(-127, 128, (CHANNELS, 1, 1, CHANNELS)).astype(np.int8 if is_int8 else np.float32)
    bias = np.zeros(CHANNELS, np.int32 if is_int8 else np.float32)
    image_shape, number = (1, SIDE, SIDE, CHANNELS), INT8 if is_int8 else FLOAT32
    tensors = [
        _tensor(image_shape, number, 0, 1.0 if is_int8 else None),
        _tensor(weights.shape, number, 1, 0.01 if is_int8 else None),
        _tensor(bias.shape, INT32 if is_int8 else FLOAT32, 2, 0.01 if is_int8 else None),
        _tensor(image_shape, number, 0, 100.0 if is_int8 else None),
    ]
    options = {0: np.int8(0), 1: np.int32(1), 2: np.int32(1), 4: np.int32(1), 5: np.int32(1)}  # SAME, strides, dilation
    operator = {1: [0, 1, 2], 2: [3], 3: np.uint8(1), 4: options}  # inputs, outputs, Conv2DOptions
    subgraph = {0: tensors, 1: [0], 2: [3], 3: [operator]}
    code = {0: np.int8(CONV_2D), 2: np.int32(3), 3: np.int32(CONV_2D)}
    buffers: list[Fields] = [{}, {0: weights.tobytes()}, {0: bias.tobytes()}]
    out = bytearray(b"\0\0\0\0TFL3")
    _write_reference(out, 0, {0: np.uint32(3), 1: [code], 2: [subgraph], 4: buffers})
    return bytes(out)


def _tensor(shape: Sequence[int], number: int, buffer: int, scale: float | None) -> Fields:
    made: Fields = {0: list(shape), 1: np.int8(number), 2: np.uint32(buffer)}
    if scale is not None:
        made[4] = {2: np.array([scale], np.float32), 3: np.array([0], np.int64)}
    return made


def _append(out: bytearray, value: Any) -> int:
    """Append a table (a dictionary), a list of tables or of int32, an array or bytes; returns its position.

    The content of a table or of a list of tables comes after it, since offsets are not negative.
    """
    if isinstance(value, dict):
        return _append_table(out, value)
    if isinstance(value, list) and isinstance(value[0], dict):
        position = _align(out, 4)
        out += struct.pack("<I", len(value)) + bytes(4 * len(value))
        for index, table in enumerate(value):
            _write_reference(out, position + 4 + 4 * index, table)
        return position
    data = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)
    data = data.astype(np.int32) if isinstance(value, list) else data
    position = _align(out, 16, 4)
    out += struct.pack("<I", len(data)) + data.tobytes()
    return position


def _append_table(out: bytearray, fields: Fields) -> int:
    """Append a vtable (the offset of each field), then the table: offset to its vtable, and four bytes per field."""
    slots = [0] * (max(fields, default=-1) + 1)
    for index, number in enumerate(fields):
        slots[number] = 4 + 4 * index
    vtable = _align(out, 4)
    out += struct.pack(f"<{2 + len(slots)}H", 4 + 2 * len(slots), 4 + 4 * len(fields), *slots)
    table = _align(out, 4)
    out += struct.pack("<i", table - vtable) + bytes(4 * len(fields))
    for number, value in fields.items():
        field = table + slots[number]
        if isinstance(value, np.generic):
            out[field : field + value.itemsize] = value.tobytes()
        else:
            _write_reference(out, field, value)
    return table


def _write_reference(out: bytearray, field: int, value: Any) -> None:
    """Append the value of a field, and write the offset to it at `field`."""
    struct.pack_into("<I", out, field, _append(out, value) - field)


def _align(out: bytearray, size: int, ahead: int = 0) -> int:
    """Pad until the position `ahead` bytes later is a multiple of `size`; returns the position of the next byte."""
    out += bytes(-(len(out) + ahead) % size)
    return len(out)
