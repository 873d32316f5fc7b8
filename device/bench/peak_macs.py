"""The most multiply-adds a second that the interpreter reaches here: the floor under every model.

Measured on a net that suits it best: one convolution of 1x1, with weights that stay in the cache and many sums at
a time. Its flatbuffer is written here, since no board has a library for that.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketsight.device.bench.op_profile import time_interleaved
from pocketsight.device.inference.interpreter import import_runtime
from pocketsight.device.system.stderr import suppress_stderr

SIDE, CHANNELS = 32, 256  # of the picture, and in and out
MACS = SIDE * SIDE * CHANNELS * CHANNELS
ROUNDS = 30
NET_DESCRIPTION = f"a convolution of 1x1, {SIDE}x{SIDE}x{CHANNELS} to {CHANNELS} channels, made in memory"
CONV_2D, FLOAT32, INT32, INT8 = 3, 0, 2, 9  # numbers of TFLite's schema

Fields = dict[int, Any]  # of a table: number -> what it holds; see `_write`


def measure_peak_macs(precision: str, threads: int) -> dict[str, Any]:
    """Multiply-adds a second, by the fastest of ROUNDS: int8 for a model in int8, else float32."""
    kind = "int8" if precision == "int8" else "float32"
    with suppress_stderr():
        interpreter = import_runtime()[0].Interpreter(model_content=build_convolution(kind), num_threads=threads)
        interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    values = np.random.default_rng(0).integers(-100, 100, entry["shape"]).astype(entry["dtype"])
    interpreter.set_tensor(entry["index"], values)
    fastest = float(time_interleaved((interpreter.invoke,), ROUNDS).min()) / 1e6
    return {
        "kind": kind,
        "threads": threads,
        "macs_a_second": round(MACS / fastest),
        "net": f"{kind}: {NET_DESCRIPTION}",
    }


def build_convolution(kind: str) -> bytes:
    """A model file's flatbuffer: one CONV_2D, int8 or float32."""
    rng = np.random.default_rng(0)
    whole = kind == "int8"
    weights = rng.integers(-127, 128, (CHANNELS, 1, 1, CHANNELS)).astype(np.int8 if whole else np.float32)
    bias = np.zeros(CHANNELS, np.int32 if whole else np.float32)
    picture, number = (1, SIDE, SIDE, CHANNELS), INT8 if whole else FLOAT32
    tensors = [
        _tensor(picture, number, 0, 1.0 if whole else None),
        _tensor(weights.shape, number, 1, 0.01 if whole else None),
        _tensor(bias.shape, INT32 if whole else FLOAT32, 2, 0.01 if whole else None),
        _tensor(picture, number, 0, 100.0 if whole else None),
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
    """Append a table (a dictionary), a list of tables or of int32, an array or bytes; where it stands.

    What a table or a list of tables holds stands after it, since distances lead onward.
    """
    if isinstance(value, dict):
        return _append_table(out, value)
    if isinstance(value, list) and isinstance(value[0], dict):
        place = _align(out, 4)
        out += struct.pack("<I", len(value)) + bytes(4 * len(value))
        for number, table in enumerate(value):
            _write_reference(out, place + 4 + 4 * number, table)
        return place
    data = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)
    data = data.astype(np.int32) if isinstance(value, list) else data
    place = _align(out, 16, 4)
    out += struct.pack("<I", len(data)) + data.tobytes()
    return place


def _append_table(out: bytearray, fields: Fields) -> int:
    """A list of where each field stands, then the table: the way back to the list, and four bytes a field."""
    slots = [0] * (max(fields, default=-1) + 1)
    for place, number in enumerate(fields):
        slots[number] = 4 + 4 * place
    back = _align(out, 4)
    out += struct.pack(f"<{2 + len(slots)}H", 4 + 2 * len(slots), 4 + 4 * len(fields), *slots)
    table = _align(out, 4)
    out += struct.pack("<i", table - back) + bytes(4 * len(fields))
    for number, value in fields.items():
        field = table + slots[number]
        if isinstance(value, np.generic):
            out[field : field + value.itemsize] = value.tobytes()
        else:
            _write_reference(out, field, value)
    return table


def _write_reference(out: bytearray, field: int, value: Any) -> None:
    """Append what a field holds, and put the distance to it in its place."""
    struct.pack_into("<I", out, field, _append(out, value) - field)


def _align(out: bytearray, size: int, ahead: int = 0) -> int:
    """Fill up until what comes `ahead` bytes later stands at a multiple of `size`; where the next byte stands."""
    out += bytes(-(len(out) + ahead) % size)
    return len(out)
