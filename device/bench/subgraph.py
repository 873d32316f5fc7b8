"""Extraction of a part of a model as a model, by edits to its flatbuffer, which inference/flatbuffer.py describes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pocketsight.device.inference.flatbuffer import OPERATORS, SUBGRAPHS, field_position, follow_offset, read_uint32

SIGNATURES = 7  # field of a model
INPUTS, OUTPUTS = 1, 2  # fields of a subgraph


def extract_subgraph(
    flatbuffer: bytes, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
) -> bytes:
    """The model of some operators with these input and output tensors, all by index; `operators` must ascend."""
    data = bytearray(flatbuffer)
    model = read_uint32(data, 0)
    subgraph = follow_offset(data, follow_offset(data, field_position(data, model, SUBGRAPHS)) + 4)
    _keep_tables(data, follow_offset(data, field_position(data, subgraph, OPERATORS)), operators)
    if signatures := field_position(data, model, SIGNATURES):
        _write_uint32(data, follow_offset(data, signatures), 0)  # they may name tensors that the part does not have
    for number, tensors in ((INPUTS, inputs), (OUTPUTS, outputs)):
        data += bytes(-len(data) % 4)
        field = field_position(data, subgraph, number)
        _write_uint32(data, field, len(data) - field)
        data += struct.pack(f"<{len(tensors) + 1}I", len(tensors), *tensors)
    return bytes(data)


def _keep_tables(data: bytearray, tables: int, selected: Sequence[int]) -> None:
    """Shorten a list of tables. Entries move to the front only, since an offset is never negative."""
    for position, index in enumerate(selected):
        entry = tables + 4 + 4 * position
        _write_uint32(data, entry, follow_offset(data, tables + 4 + 4 * index) - entry)
    _write_uint32(data, tables, len(selected))


def _write_uint32(data: bytearray, position: int, number: int) -> None:
    struct.pack_into("<I", data, position, number)
