"""The TFLite interpreter: the only module that knows LiteRT and how pixels become int8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.device.errors import ModelError
from edgekit.device.image import Image
from edgekit.device.quiet import quiet
from edgekit.device.spec import ModelSpec, unpack
from edgekit.device.tensor import Tensor
from edgekit.device.tuning import best_threads

Model = Callable[[Image], Mapping[str, Tensor]]  # what the rest of the runtime sees; tests pass a plain function

RUNTIMES = {"ai_edge_litert.interpreter": "ai-edge-litert", "tflite_runtime.interpreter": "tflite-runtime"}


@dataclass(frozen=True)
class Loaded:
    """A model and its spec."""

    model: Model
    spec: ModelSpec

    @cached_property
    def canvas(self) -> Image:
        """What frames are fitted into, again and again; for one thread."""
        return np.zeros((*self.spec.size, 3), np.uint8)


def runtime() -> tuple[Any, str]:
    """The interpreter's module and its name with version. Raises ModelError when none is installed."""
    for module, package in RUNTIMES.items():
        try:
            found = import_module(module)
        except ModuleNotFoundError as error:
            if error.name and not module.startswith(error.name):
                raise  # the interpreter is here and lacks something itself
            continue
        try:
            return found, f"{package} {version(package)}"
        except PackageNotFoundError:
            return found, package
    raise ModelError("no TFLite interpreter is installed; get one with: pip install 'edgekit[board]'")


def load(path: Path, task: str | None = None, threads: int | None = None) -> Loaded:
    """Open a model file, for one task if that is named. Raises ModelError, also when it was made for another task.

    Without a number of threads it runs on as many as are fastest here, measured once and remembered.
    """
    flatbuffer, spec = unpack(path)
    if task and spec.task != task:
        raise ModelError(f"{path} is a {spec.task} model, and a {task} model is needed here")

    def invoke(count: int) -> Callable[[], object]:
        model, blank = TfliteModel(flatbuffer, count, path), np.zeros((*spec.size, 3), np.uint8)
        return lambda: model(blank)

    return Loaded(TfliteModel(flatbuffer, threads or best_threads(spec.sha256, invoke), path), spec)


class TfliteModel:
    """A flatbuffer, opened once: image (H, W, 3) uint8 in, named outputs without batch axis out."""

    def __init__(self, flatbuffer: bytes, threads: int, origin: Path) -> None:
        module, self.runtime = runtime()
        self.threads = threads
        try:
            with quiet():  # it announces its delegate every time
                self.interpreter = module.Interpreter(model_content=flatbuffer, num_threads=threads)
                self.interpreter.allocate_tensors()
            (self.input,) = self.interpreter.get_input_details()
            details = self.interpreter.get_signature_runner().get_output_details()  # by name; their order is random
            self.outputs = {name: (out["index"], *_scale(out)) for name, out in details.items()}
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{origin} does not load in {self.runtime}: {str(error).splitlines()[0]}") from error
        self.bytes_in = self.input["dtype"] == np.int8
        if self.bytes_in and self.input["quantization"] != (1.0, -128):
            raise ModelError(f"{origin} does not take a pixel as pixel - 128; export it again with edgekit")

    def __call__(self, image: Image) -> dict[str, Tensor]:
        view = self.interpreter.tensor(self.input["index"])()[0]
        if view.shape != image.shape:
            raise ValueError(f"the model takes {view.shape}, this image is {image.shape}")
        if self.bytes_in:
            np.bitwise_xor(image, 128, out=view.view(np.uint8))  # pixel - 128 in two's complement: one pass, no copy
        else:
            view[:] = image
        del view  # the interpreter refuses to run while its memory is held
        self.interpreter.invoke()
        read = self.interpreter.get_tensor
        return {name: Tensor(read(index)[0], scale, zero) for name, (index, scale, zero) in self.outputs.items()}


def _scale(detail: dict[str, Any]) -> tuple[float, int]:
    scale, zero = detail["quantization"]
    return (float(scale), int(zero)) if scale else (1.0, 0)
