"""A flatbuffer without what no interpreter reads: names of inner tensors, and the same vector written many times.

The converter writes for every channel of every weight and bias a zero point, 8 bytes that are 0: a sixth of a small
model's file. Equal vectors may share one place in a flatbuffer.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

FILE_IDENTIFIER = b"TFL3"
BUFFER_ALIGNMENT = 16  # bytes; the schema demands it of every buffer


class DedupBuilder(flatbuffers.Builder):  # type: ignore[misc,unused-ignore]
    """Writes equal vectors of numbers once."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.offsets: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Any) -> int:
        """Offset of the vector; bytes, which are buffers, are aligned."""
        key = x.dtype.str, x.tobytes()
        if key not in self.offsets:
            if x.dtype == np.uint8:
                self.Prep(BUFFER_ALIGNMENT, x.size)
            self.offsets[key] = super().CreateNumpyVector(x)
        return self.offsets[key]


def compact(flatbuffer: bytes) -> bytes:
    """The same model in fewer bytes. Names of inputs and outputs stay, as does everything that is computed with."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    for graph in model.subgraphs:
        kept = {int(n) for n in (*graph.inputs, *graph.outputs)}
        for number, tensor in enumerate(graph.tensors):
            if number not in kept:
                tensor.name = None
            if tensor.quantization:
                tensor.quantization.min = tensor.quantization.max = None
    builder = DedupBuilder(len(flatbuffer))
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())
