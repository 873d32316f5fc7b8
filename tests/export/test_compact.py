"""A compacted file computes the same as the original, and each of its buffers is aligned as the schema requires."""

import warnings
from pathlib import Path

import flatbuffers
import numpy as np
import pytest

from pocketsight.device.inference.golden import MAX_STEPS, read
from pocketsight.device.inference.interpreter import TfliteModel
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import MODEL_NAMES, SHIPPED_MODELS
from pocketsight.export.compact import BUFFER_ALIGNMENT, FILE_IDENTIFIER, compact

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")


def fattened(flatbuffer: bytes) -> bytes:
    """As the converter writes it: a name for every tensor, and each vector by itself."""
    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    for graph in model.subgraphs:
        for number, tensor in enumerate(graph.tensors):
            if tensor.name.isdigit():
                tensor.name = f"functional/stage_{number}/convolution;functional/stage_{number}/normalization"
    builder = flatbuffers.Builder(len(flatbuffer))
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def tensor_names(flatbuffer: bytes) -> list[str]:
    """The names of all tensors of its one graph, "" where there is none."""
    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    (graph,) = model.subgraphs
    return [(tensor.name or b"").decode() for tensor in graph.tensors]


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
    a, b = (TfliteModel(data, 1, Path(name), spec)(image) for data in (fat, thin))
    assert a.keys() == b.keys()  # the signature's names
    assert all((a[key].values == b[key].values).all() and a[key].scale == b[key].scale for key in a)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_tensor_of_a_shipped_model_has_a_name_of_its_own(name: str) -> None:
    names = tensor_names(read_model_file(MODEL_NAMES[name])[0])
    assert all(names) and len(set(names)) == len(names) > 50


def test_another_reader_takes_the_shipped_classifier(tmp_path: Path) -> None:
    """The converter to ONNX fails on tensors without names; ONNX Runtime rounds unlike TFLite, by some steps."""
    tf2onnx = pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    path = SHIPPED_MODELS["classifier"]
    (tmp_path / "a.tflite").write_bytes(read_model_file(path)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's and the converter's own
        model, _ = tf2onnx.convert.from_tflite(str(tmp_path / "a.tflite"))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (pixels,) = session.get_inputs()
    for golden in read(path):
        image = (np.frombuffer(golden.image, np.uint8).astype(np.int16) - 128).astype(np.int8)
        (found,) = session.run(None, {pixels.name: image.reshape(pixels.shape)})
        expected = np.frombuffer(golden.outputs["logits"], np.int8).astype(int)
        assert np.abs(found[0].astype(int) - expected).max() <= MAX_STEPS
