"""Read the tables of a flatbuffer, such as a .tflite. Boards have no library for flatbuffers.

A flatbuffer consists of tables. A table starts with the offset back to its vtable, which has the position of each
field. A field that is not a number is an offset forward to its value. The field numbers are those of TFLite's schema:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

Buffer = bytes | bytearray

IDENTIFIER = b"TFL3"
SUBGRAPHS, BUFFERS, METADATA = 2, 4, 6  # fields of a model
OPERATORS = 3  # field of a subgraph
# What a model contains, by field: the bytes of one element of a text or a list of numbers; {...}: a table; [{...}]: a
# list of tables.
Fields = dict[int, Any]
TENSOR: Fields = {0: 4, 3: 1, 4: {2: 4, 3: 8}}  # shape, name, quantization
OPERATOR: Fields = {1: 4, 2: 4, 4: {}, 5: 1}  # inputs, outputs, options, custom options
SIGNATURE: Fields = {0: [{0: 1}], 1: [{0: 1}], 2: 1}  # inputs, outputs, name
GRAPH: Fields = {0: [TENSOR], 1: 4, 2: 4, OPERATORS: [OPERATOR], 4: 1}
MODEL: Fields = {1: [{1: 1}], SUBGRAPHS: [GRAPH], 3: 1, BUFFERS: [{0: 1}], METADATA: [{0: 1}], 7: [SIGNATURE]}


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
    """Whether the graph and the weights of a .tflite lie within its data, so that nothing was cut off."""
    try:
        model = follow_offset(data, 0)
        _require_inside(data, model, MODEL)
        return bool(field_position(data, model, SUBGRAPHS))
    except (struct.error, ValueError):
        return False


def _require_inside(data: Buffer, table: int, fields: Fields) -> None:
    """Raise ValueError or struct.error when something in a table ends after the data."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if table + struct.unpack_from("<H", data, vtable + 2)[0] > len(data):
        raise ValueError("a table ends after the end of the file")
    for number, content in fields.items():
        if isinstance(content, int):
            find_value(data, table, number, content)
        elif isinstance(content, list):
            for each in iter_tables(data, table, number):
                _require_inside(data, each, content[0])
        elif field := field_position(data, table, number):
            _require_inside(data, follow_offset(data, field), content)
