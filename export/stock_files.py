"""Write the network of a run folder as a .keras or .onnx file, with its manifest, for programs without pocketsight."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.system.atomic_files import atomic_path, atomic_write
from pocketsight.device.system.stderr import suppress_stderr
from pocketsight.export.stock_network import build_stock_network
from pocketsight.export.stock_parity import Outputs, check_outputs
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import as_model

OPSET = 15  # of ONNX: old readers know it, and the networks need no newer operator


def write_keras(path: Path, net: keras.Model, spec: ModelSpec) -> dict[str, Any]:
    """Write a .keras file with the manifest as one more entry of its zip. Returns the parity report.

    Raises ParityError when the file does not predict like `net`; then nothing is written.
    """
    with atomic_path(path, ".keras") as part:
        build_stock_network(net, spec).save(part)
        loaded = keras.models.load_model(part)

        def predict(images: NDArray[np.float32]) -> Outputs:
            found = loaded.predict_on_batch(images)
            return found if isinstance(found, dict) else {loaded.output_names[0]: found}

        parity = check_outputs(as_model(net, spec), predict)
        with ZipFile(part, "a") as archive:
            archive.writestr(ZipInfo(MANIFEST_NAME), replace(spec, parity=parity).to_json())
    return parity


def write_onnx(path: Path, net: keras.Model, spec: ModelSpec) -> dict[str, Any]:
    """Write an ONNX file with the manifest in its metadata, one property for each key. Returns the parity report.

    Needs the backend TensorFlow. Raises ParityError when the file does not predict like `net` in ONNX Runtime.
    """
    import onnx
    import onnxruntime

    model = _convert_to_onnx(build_stock_network(net, spec))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    parity = check_outputs(
        as_model(net, spec), lambda images: dict(zip(names, session.run(names, {"image": images}), strict=True))
    )
    manifest = replace(spec, parity=parity).to_dict()
    onnx.helper.set_model_props(
        model, {key: value if isinstance(value, str) else json.dumps(value) for key, value in manifest.items()}
    )
    atomic_write(path, model.SerializeToString())
    return parity


def _convert_to_onnx(net: keras.Model) -> Any:
    """The onnx.ModelProto. Its input and its outputs have the names of the network, and the batch size is free."""
    import onnx

    if not isinstance(net.output, dict):  # the converter only keeps the names of a dict
        net = keras.Model(net.input, {net.output_names[0]: net.output})
    with TemporaryDirectory() as folder:
        part = Path(folder) / "model.onnx"
        # The converter prints and warns about its own workings.
        with suppress_stderr(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            net.export(part, format="onnx", opset_version=OPSET, input_signature=[net.input], verbose=False)
        model = onnx.load(part)
    model.doc_string = "image: RGB, 0..255, (batch, height, width, 3)"
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model
