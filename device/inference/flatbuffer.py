"""Read the tables of a flatbuffer, such as a .tflite. Boards have no library for flatbuffers.

A flatbuffer consists of tables. A table starts with the offset back to its vtable, which has the position of each
field. A field that is not a number is an offset forward to its value. The field numbers are those of TFLite's schema:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Buffer = bytes | bytearray

IDENTIFIER = b"TFL3"
OPERATOR_CODES, SUBGRAPHS, BUFFERS, METADATA = 1, 2, 4, 6  # fields of a model
TENSORS, OPERATORS = 0, 3  # fields of a subgraph
# The fields of a tensor, an operator and a buffer that have a value of their own, with the bytes of one element.
TENSOR_VALUES = {0: 4, 3: 1}  # shape, name
OPERATOR_VALUES = {1: 4, 2: 4}  # inputs, outputs
BUFFER_VALUES = {0: 1}


def field_position(data: Buffer, table: int, number: int) -> int:
    """The position of a field of a table; 0 where the table does not have it."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return int(table + offset) if offset else 0


def follow_offset(data: Buffer, position: int) -> int:
    """The position that the offset at `position` names."""
    return position + read_uint32(data, position)


def read_uint32(data: Buffer, position: int) -> int:
    """The number at `position`."""
    return int(struct.unpack_from("<I", data, position)[0])


def find_value(data: Buffer, table: int, number: int, element_size: int = 1) -> tuple[int, int]:
    """The start and the end of a field that is a text or a list of numbers; (0, 0) where the table does not have it.

    Raises ValueError or struct.error when it ends after the data.
    """
    field = field_position(data, table, number)
    if not field:
        return 0, 0
    start = follow_offset(data, field)
    end = start + 4 + element_size * read_uint32(data, start)
    if end > len(data):
        raise ValueError("a value ends after the end of the file")
    return start + 4, end


def iter_tables(data: Buffer, table: int, number: int) -> Iterator[int]:
    """The positions of the tables in a list."""
    field = field_position(data, table, number)
    if field:
        start = follow_offset(data, field)
        for index in range(read_uint32(data, start)):
            yield follow_offset(data, start + 4 + 4 * index)


def is_whole(data: Buffer) -> bool:
    """Whether all tensors, operators and weights of a .tflite lie within its data, so that nothing was cut off."""
    try:
        model = follow_offset(data, 0)
        for graph in iter_tables(data, model, SUBGRAPHS):
            _read_all(data, graph, TENSORS, TENSOR_VALUES)
            _read_all(data, graph, OPERATORS, OPERATOR_VALUES)
        _read_all(data, model, BUFFERS, BUFFER_VALUES)
        return bool(field_position(data, model, SUBGRAPHS))
    except (struct.error, ValueError):
        return False


def _read_all(data: Buffer, table: int, number: int, values: dict[int, int]) -> None:
    for each in iter_tables(data, table, number):
        for field, element_size in values.items():
            find_value(data, each, field, element_size)
