"""The TFLite interpreter: the only module that knows LiteRT and how pixels become int8."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.autotune import autotune_threads
from pocketsight.device.inference.delegate import Delegate
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.system.stderr import suppress_stderr
from pocketsight.device.vision.image import Image

InferenceFn = Callable[
    [Image], Mapping[str, QuantizedTensor]
]  # what the rest of the runtime sees; tests pass a plain function

RUNTIMES = {"ai_edge_litert.interpreter": "ai-edge-litert", "tflite_runtime.interpreter": "tflite-runtime"}


@dataclass(frozen=True)
class Model:
    """A model and its spec."""

    infer: InferenceFn
    spec: ModelSpec

    @cached_property
    def input_buffer(self) -> Image:
        """What frames are fitted into, again and again; for one thread."""
        return np.zeros((*self.spec.input_size, 3), np.uint8)


def import_runtime() -> tuple[Any, str]:
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
    raise ModelError("no TFLite interpreter is installed; get one with: pip install 'pocketsight[board]'")


def load_on_cpu(path: Path, task: str | None = None, threads: int | None = None) -> Model:
    """Open a model file, for one task if that is named. Raises ModelError, also when it was made for another task.

    Without a number of threads it runs on as many as are fastest here, measured once and remembered.
    """
    flatbuffer, spec = read_model_file(path)
    _require_runtime(path, spec)
    require_task(spec, task, path)
    if spec.edgetpu:
        raise ModelError(f"{path} was compiled for a Coral, the CPU cannot run it; give the file it was compiled from")

    def invoke(count: int) -> Callable[[], object]:
        model, blank = TfliteModel(flatbuffer, count, path), np.zeros((*spec.input_size, 3), np.uint8)
        return lambda: model(blank)

    return Model(TfliteModel(flatbuffer, threads or autotune_threads(spec.sha256, invoke), path), spec)


def _require_runtime(path: Path, spec: ModelSpec) -> None:
    """Raise ModelError when this interpreter is older than the file. ai-edge-litert, which counts anew, never is."""
    name = import_runtime()[1]
    package, _, here = name.partition(" ")
    if (
        package == "tflite-runtime"
        and here
        and spec.min_runtime_version
        and _parse_version(here) < _parse_version(spec.min_runtime_version)
    ):
        raise ModelError(
            f"{path} needs TFLite {spec.min_runtime_version} or newer, here is {name}; pip install ai-edge-litert"
        )


def _parse_version(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)[:3]]


def require_task(spec: ModelSpec, task: str | None, path: Path) -> None:
    """Raise ModelError when a model was made for another task than `task`."""
    if task and spec.task != task:
        raise ModelError(f"{path} is a {spec.task} model, and a {task} model is needed here")


class TfliteModel:
    """A flatbuffer, opened once: image (H, W, 3) uint8 in, named outputs without batch axis out.

    `names` gives for each output the name of its tensor, for a file that lost its signature when it was compiled.
    Without `ready` it can be looked at but not run, so that a file for a Coral can be looked at anywhere.
    """

    def __init__(
        self,
        flatbuffer: bytes,
        threads: int,
        origin: Path,
        delegates: Sequence[Delegate] = (),
        output_tensor_names: Mapping[str, str] | None = None,
        allocate: bool = True,
    ) -> None:
        module, self.runtime_name = import_runtime()
        self.threads = threads
        try:
            with suppress_stderr():  # it announces its delegate every time
                self.interpreter = module.Interpreter(
                    model_content=flatbuffer, num_threads=threads, experimental_delegates=list(delegates)
                )
                if allocate:
                    self.interpreter.allocate_tensors()
            (self.input_details,) = self.interpreter.get_input_details()
            self.output_params = {
                name: (out["index"], *_quantization(out))
                for name, out in self._output_details(output_tensor_names or {}).items()
            }
        except (ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"{origin} does not load in {self.runtime_name}: {str(error).splitlines()[0]}") from error
        self.is_int8_input = self.input_details["dtype"] == np.int8
        if self.is_int8_input and self.input_details["quantization"] != (1.0, -128):
            raise ModelError(f"{origin} does not take a pixel as pixel - 128; export it again with pocketsight")

    def _output_details(self, output_tensor_names: Mapping[str, str]) -> dict[str, Any]:
        """Details of the outputs by name; their order is random."""
        if output_tensor_names and not self.interpreter.get_signature_list():
            tensors = {out["name"]: out for out in self.interpreter.get_output_details()}
            return {name: tensors[tensor] for name, tensor in output_tensor_names.items()}
        return dict(self.interpreter.get_signature_runner().get_output_details())

    def __call__(self, image: Image) -> dict[str, QuantizedTensor]:
        view = self.interpreter.tensor(self.input_details["index"])()[0]
        if view.shape != image.shape:
            raise ValueError(f"the model takes {view.shape}, this image is {image.shape}")
        if self.is_int8_input:
            np.bitwise_xor(image, 128, out=view.view(np.uint8))  # pixel - 128 in two's complement: one pass, no copy
        else:
            view[:] = image
        del view  # the interpreter refuses to run while its memory is held
        self.interpreter.invoke()
        read = self.interpreter.get_tensor
        return {
            name: QuantizedTensor(read(index)[0], scale, zero)
            for name, (index, scale, zero) in self.output_params.items()
        }


def _quantization(detail: dict[str, Any]) -> tuple[float, int]:
    scale, zero = detail["quantization"]
    return (float(scale), int(zero)) if scale else (1.0, 0)
