"""A part of a model as a model of its own, without a library for flatbuffers: a few numbers are put in their places.

A flatbuffer is tables; a table begins with the distance back to a list of where its fields stand, and a field that is
not a number holds the distance onward to what it means. The numbers of the fields are those of TFLite's schema:
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
    """The model of these operators alone, between these tensors; all are named by their numbers, operators rising."""
    data = bytearray(flatbuffer)
    model = _read_uint32(data, 0)
    subgraph = _follow_offset(data, _follow_offset(data, _field_position(data, model, SUBGRAPHS)) + 4)
    _keep_tables(data, _follow_offset(data, _field_position(data, subgraph, OPERATORS)), operators)
    if signatures := _field_position(data, model, SIGNATURES):
        _write_uint32(data, _follow_offset(data, signatures), 0)  # they name tensors that may be gone
    for number, tensors in ((INPUTS, inputs), (OUTPUTS, outputs)):
        data += bytes(-len(data) % 4)
        field = _field_position(data, subgraph, number)
        _write_uint32(data, field, len(data) - field)
        data += struct.pack(f"<{len(tensors) + 1}I", len(tensors), *tensors)
    return bytes(data)


def _keep_tables(data: bytearray, tables: int, selected: Sequence[int]) -> None:
    """Shorten a list of tables. Entries move to its front only, since a distance is never negative."""
    for place, index in enumerate(selected):
        entry = tables + 4 + 4 * place
        _write_uint32(data, entry, _follow_offset(data, tables + 4 + 4 * index) - entry)
    _write_uint32(data, tables, len(selected))


def _field_position(data: bytearray, table: int, number: int) -> int:
    """Where a table's field stands; 0 where it has none."""
    places = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, places)[0]:
        return 0
    offset = struct.unpack_from("<H", data, places + 4 + 2 * number)[0]
    return int(table + offset) if offset else 0


def _follow_offset(data: bytearray, place: int) -> int:
    return place + _read_uint32(data, place)


def _read_uint32(data: bytearray, place: int) -> int:
    return int(struct.unpack_from("<I", data, place)[0])


def _write_uint32(data: bytearray, place: int, number: int) -> None:
    struct.pack_into("<I", data, place, number)
