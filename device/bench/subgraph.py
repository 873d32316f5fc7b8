"""Extraction of a part of a model as a model, by edits to its flatbuffer. Boards have no library for flatbuffers.

A flatbuffer consists of tables. A table starts with the offset back to its vtable, which has the position of each
field. A field that is not a number is an offset forward to its value. The field numbers are those of TFLite's schema:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

SUBGRAPHS, SIGNATURES = 2, 7  # fields of a model
INPUTS, OUTPUTS, OPERATORS = 1, 2, 3  # fields of a subgraph


def extract_subgraph(
    flatbuffer: bytes, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
) -> bytes:
    """The model of some operators with these input and output tensors, all by index; `operators` must ascend."""
    data = bytearray(flatbuffer)
    model = _read_uint32(data, 0)
    subgraph = _follow_offset(data, _follow_offset(data, _field_position(data, model, SUBGRAPHS)) + 4)
    _keep_tables(data, _follow_offset(data, _field_position(data, subgraph, OPERATORS)), operators)
    if signatures := _field_position(data, model, SIGNATURES):
        _write_uint32(data, _follow_offset(data, signatures), 0)  # they may name tensors that the part does not have
    for number, tensors in ((INPUTS, inputs), (OUTPUTS, outputs)):
        data += bytes(-len(data) % 4)
        field = _field_position(data, subgraph, number)
        _write_uint32(data, field, len(data) - field)
        data += struct.pack(f"<{len(tensors) + 1}I", len(tensors), *tensors)
    return bytes(data)


def _keep_tables(data: bytearray, tables: int, selected: Sequence[int]) -> None:
    """Shorten a list of tables. Entries move to the front only, since an offset is never negative."""
    for position, index in enumerate(selected):
        entry = tables + 4 + 4 * position
        _write_uint32(data, entry, _follow_offset(data, tables + 4 + 4 * index) - entry)
    _write_uint32(data, tables, len(selected))


def _field_position(data: bytearray, table: int, number: int) -> int:
    """The position of a field of a table; 0 where the table does not have it."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return int(table + offset) if offset else 0


def _follow_offset(data: bytearray, position: int) -> int:
    return position + _read_uint32(data, position)


def _read_uint32(data: bytearray, position: int) -> int:
    return int(struct.unpack_from("<I", data, position)[0])


def _write_uint32(data: bytearray, position: int, number: int) -> None:
    struct.pack_into("<I", data, position, number)
