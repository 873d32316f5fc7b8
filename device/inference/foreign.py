"""Any .tflite as it is, without a manifest: to inspect it and to measure how long it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.autotune import autotune_threads
from pocketsight.device.inference.checksum import compute_checksum
from pocketsight.device.inference.interpreter import LoadedGraph, Model
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_file import ForeignModelError, read_contents
from pocketsight.device.inference.model_loader import load_model
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.image import Image

FOREIGN_TASK = "model"
"""The task of a model without a manifest: what its outputs mean is unknown."""


class ForeignGraph(LoadedGraph):
    """A graph with any inputs. A call runs it on ones, whatever the image is, and returns no outputs."""

    def __init__(self, flatbuffer: bytes, threads: int, origin: Path) -> None:
        super().__init__(flatbuffer, threads, origin)
        for detail in self.interpreter.get_input_details():  # uninitialized floats may be denormal, which is slow
            if np.dtype(detail["dtype"]).kind in "biuf":
                self.interpreter.set_tensor(detail["index"], np.ones(detail["shape"], detail["dtype"]))
        try:
            self.interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{origin} does not run in {self.runtime_name}: {str(error).splitlines()[0]}") from error

    def __call__(self, image: Image) -> Mapping[str, QuantizedTensor]:
        self.interpreter.invoke()
        return {}


def load_any(path: Path, threads: int | None = None, delegate: str = "cpu", verify: bool = False) -> Model:
    """Load a model file, or any other .tflite on the CPU; see `load_model`. Raises ModelError."""
    try:
        return load_model(path, threads=threads, delegate=delegate, verify=verify)
    except ForeignModelError:
        flatbuffer = read_contents(path).flatbuffer
    if delegate not in ("cpu", "auto"):
        raise ModelError(f"{path} has no manifest, so it runs on the CPU only; leave --delegate out")
    key = compute_checksum(flatbuffer)

    def invoke(count: int) -> Any:
        return ForeignGraph(flatbuffer, count, path).interpreter.invoke

    graph = ForeignGraph(flatbuffer, threads or autotune_threads(key, invoke), path)
    spec = ModelSpec(FOREIGN_TASK, path.stem, (1, 1), (), 0.0, precision=guess_precision(graph), sha256=key)
    return Model(graph, spec)


def guess_precision(graph: LoadedGraph) -> str:
    """The type of most weights: int8, float32 or another that NumPy has."""
    counts: Counter[str] = Counter()
    for detail in graph.interpreter.get_tensor_details():
        if len(detail["shape"]) in (2, 4):  # weights and activations, but neither biases nor sizes
            counts[np.dtype(detail["dtype"]).name] += int(np.prod(detail["shape"]))
    best = counts.most_common(1)
    return "int8" if best and best[0][0] in ("int8", "uint8") else best[0][0] if best else "float32"
