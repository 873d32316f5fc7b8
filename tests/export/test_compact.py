"""A compacted file computes the same as the original, and each of its buffers is aligned as the schema requires."""

from pathlib import Path

import flatbuffers
import numpy as np
import pytest

from pocketsight.device.inference.interpreter import TfliteModel
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import SHIPPED_MODELS
from pocketsight.export.compact import BUFFER_ALIGNMENT, FILE_IDENTIFIER, compact

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")


def fattened(flatbuffer: bytes) -> bytes:
    """As the converter writes it: a name for every tensor, and each vector by itself."""
    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    for graph in model.subgraphs:
        for number, tensor in enumerate(graph.tensors):
            tensor.name = (
                tensor.name or f"functional/stage_{number}/convolution;functional/stage_{number}/normalization"
            )
    builder = flatbuffers.Builder(len(flatbuffer))
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def places(flatbuffer: bytes) -> list[int]:
    """Where the bytes of each buffer that has some begin."""
    model = schema.Model.GetRootAs(flatbuffer, 0)
    buffers = [model.Buffers(number) for number in range(model.BuffersLength())]
    return [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]


@pytest.mark.parametrize("name", ["detector", "classifier"])
def test_a_slim_file_is_the_same_model(name: str) -> None:
    flatbuffer, spec = read_model_file(SHIPPED_MODELS[name])
    fat = fattened(flatbuffer)
    thin = compact(fat)
    assert len(thin) < 0.9 * len(fat) and compact(thin) == thin
    assert len(places(thin)) > 20 and all(place % BUFFER_ALIGNMENT == 0 for place in places(thin))
    image = np.random.default_rng(0).integers(0, 256, (*spec.input_size, 3)).astype(np.uint8)
    a, b = (TfliteModel(data, threads=1, origin=Path(name))(image) for data in (fat, thin))
    assert a.keys() == b.keys()  # the signature's names
    assert all((a[key].values == b[key].values).all() and a[key].scale == b[key].scale for key in a)
