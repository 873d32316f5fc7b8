"""The metadata that other tools write into a flatbuffer (TFLITE_METADATA): how pixels are scaled, the license.

The field numbers are those of its schema:
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from pocketsight.device.inference.flatbuffer import (
    BUFFERS,
    METADATA,
    field_position,
    find_value,
    follow_offset,
    iter_tables,
    read_uint32,
)

METADATA_NAME = b"TFLITE_METADATA"
SUBGRAPHS, LICENSE = 3, 5  # fields of the metadata of a model
INPUTS, PROCESS_UNITS = 2, 4  # of a graph, of a tensor
OPTIONS_TYPE, OPTIONS = 0, 1  # of a process unit
NORMALIZATION, MEAN, STD = 1, 0, 1


class TfliteMetadata(NamedTuple):
    """What matters here."""

    pixel_range: tuple[float, float] | None = None
    """The real numbers that the values 0 and 255 of a pixel become; None: unknown, or one for each channel."""
    license: str = ""


def read_metadata(flatbuffer: bytes) -> TfliteMetadata:
    """Read the metadata in a flatbuffer; empty where it has none, or one that cannot be read."""
    try:
        data = _find_metadata(flatbuffer)
        if not data:
            return TfliteMetadata()
        model = follow_offset(data, 0)
        start, end = find_value(data, model, LICENSE)
        return TfliteMetadata(_pixel_range(data, model), data[start:end].decode(errors="replace"))
    except (struct.error, ValueError):
        return TfliteMetadata()


def _find_metadata(flatbuffer: bytes) -> bytes:
    model = follow_offset(flatbuffer, 0)
    for entry in iter_tables(flatbuffer, model, METADATA):
        start, end = find_value(flatbuffer, entry, 0)
        if flatbuffer[start:end] == METADATA_NAME:
            number = read_uint32(flatbuffer, field_position(flatbuffer, entry, 1))
            start, end = find_value(flatbuffer, list(iter_tables(flatbuffer, model, BUFFERS))[number], 0)
            return flatbuffer[start:end]
    return b""


def _pixel_range(data: bytes, model: int) -> tuple[float, float] | None:
    for graph in iter_tables(data, model, SUBGRAPHS):
        for tensor in iter_tables(data, graph, INPUTS):
            for unit in iter_tables(data, tensor, PROCESS_UNITS):
                kind = field_position(data, unit, OPTIONS_TYPE)
                if kind and data[kind] == NORMALIZATION:
                    options = follow_offset(data, field_position(data, unit, OPTIONS))
                    mean, std = (np.unique(_floats(data, options, number)) for number in (MEAN, STD))
                    if len(mean) == len(std) == 1 and std[0] > 0:
                        return float((0 - mean[0]) / std[0]), float((255 - mean[0]) / std[0])
    return None


def _floats(data: bytes, table: int, number: int) -> list[float]:
    start, end = find_value(data, table, number, 4)
    return list(struct.unpack_from(f"<{(end - start) // 4}f", data, start))
