"""Run a model with the TFLite interpreter. Only this module knows its API."""

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
from pocketsight.device.inference.edgetpu_delegate import Delegate
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.model_input import make_input_writer
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.inference.tensor_check import find_tensor_problem
from pocketsight.device.system.install_hint import install_command
from pocketsight.device.system.stderr import suppress_stderr
from pocketsight.device.vision.image import Image

InferenceFn = Callable[[Image], Mapping[str, QuantizedTensor]]
"""An RGB image (H, W, 3) uint8 of the input size in, the outputs by name out."""

RUNTIMES = {"ai_edge_litert.interpreter": "ai-edge-litert", "tflite_runtime.interpreter": "tflite-runtime"}


@dataclass(frozen=True)
class Model:
    """A loaded model: `infer` runs it on an RGB image (H, W, 3) uint8 of the input size; `spec` is its manifest."""

    infer: InferenceFn
    spec: ModelSpec

    @cached_property
    def input_buffer(self) -> Image:
        """A canvas of the input size that `detect` overwrites for every frame; for one thread at a time."""
        return np.zeros((*self.spec.input_size, 3), np.uint8)


def import_runtime() -> tuple[Any, str]:
    """The module of the installed interpreter, and its name with version. Raises ModelError when none is installed."""
    for module, package in RUNTIMES.items():
        try:
            runtime = import_module(module)
        except ModuleNotFoundError as error:
            if error.name and not module.startswith(error.name):
                raise  # the interpreter is installed, but one of its own dependencies is not
            continue
        try:
            return runtime, f"{package} {version(package)}"
        except PackageNotFoundError:
            return runtime, package
    raise ModelError(f"no TFLite interpreter is installed; install one with: {install_command('board')}")


def load_on_cpu(path: Path, task: str | None = None, threads: int | None = None) -> Model:
    """Load a model file on the CPU; `threads` None measures the fastest number once and caches it.

    Raises ModelError when the file is missing, damaged, compiled for a Coral, or not for `task`.
    """
    flatbuffer, spec = read_model_file(path)
    _require_runtime(path, spec)
    require_task(spec, task, path)
    if spec.edgetpu:
        raise ModelError(f"{path} was compiled for a Coral, the CPU cannot run it; use the file it was compiled from")

    def invoke(count: int) -> Callable[[], object]:
        model, blank = TfliteModel(flatbuffer, count, path, spec), np.zeros((*spec.input_size, 3), np.uint8)
        return lambda: model(blank)

    return Model(TfliteModel(flatbuffer, threads or autotune_threads(spec.sha256, invoke), path, spec), spec)


def _require_runtime(path: Path, spec: ModelSpec) -> None:
    """Raise ModelError when the interpreter is too old. ai-edge-litert, whose versions start again at 1, never is."""
    name = import_runtime()[1]
    package, _, installed = name.partition(" ")
    needed = spec.min_runtime_version
    if package == "tflite-runtime" and installed and needed and _parse_version(installed) < _parse_version(needed):
        raise ModelError(f"{path} needs TFLite {needed} or newer, but this is {name}; pip install ai-edge-litert")


def _parse_version(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)[:3]]


def require_task(spec: ModelSpec, task: str | None, path: Path) -> None:
    """Raise ModelError when the model in `path` is for another task; `task` None allows any."""
    if task and spec.task != task:
        raise ModelError(f"{path} is a {spec.task}; use a {task}")


class LoadedGraph:
    """An interpreter with the flatbuffer of any .tflite.

    Without `allocate` it can be inspected but not run, so that a file for a Coral can be inspected anywhere.
    Raises ModelError, naming `origin`, when the interpreter cannot load the flatbuffer.
    """

    def __init__(
        self,
        flatbuffer: bytes,
        threads: int,
        origin: Path,
        delegates: Sequence[Delegate] = (),
        allocate: bool = True,
    ) -> None:
        module, self.runtime_name = import_runtime()
        self.threads, self.origin = threads, origin
        try:
            with suppress_stderr():  # it reports its delegate every time
                self.interpreter = module.Interpreter(
                    model_content=flatbuffer, num_threads=threads, experimental_delegates=list(delegates)
                )
                if allocate:
                    self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{origin} does not load in {self.runtime_name}: {str(error).splitlines()[0]}") from error


class TfliteModel(LoadedGraph):
    """A model that `spec` describes. Call it with an image (H, W, 3) uint8; the outputs have no batch axis.

    Raises ModelError when the interpreter cannot load the flatbuffer, or when its tensors are not those of `spec`.
    """

    def __init__(
        self,
        flatbuffer: bytes,
        threads: int,
        origin: Path,
        spec: ModelSpec,
        delegates: Sequence[Delegate] = (),
        allocate: bool = True,
    ) -> None:
        super().__init__(flatbuffer, threads, origin, delegates, allocate)
        inputs = self.interpreter.get_input_details()
        outputs = self._output_details(spec.outputs or spec.edgetpu.get("outputs", {}))
        if problem := find_tensor_problem(spec, inputs, outputs):
            raise ModelError(f"{origin} does not fit its manifest: {problem}")
        (self.input_details,) = inputs
        self.write_input = make_input_writer(self.input_details, spec.pixel_range)
        self.output_params = {name: (out["index"], *_quantization(out)) for name, out in outputs.items()}

    def _output_details(self, tensor_names: Mapping[str, str]) -> dict[str, Any]:
        """The details of each output, by name; the interpreter lists them in no fixed order.

        Names are those of the signature, or, where that is missing, those that `tensor_names` gives to tensors.
        """
        tensors = {out["name"]: out for out in self.interpreter.get_output_details()}
        if tensor_names and set(tensor_names.values()) <= tensors.keys():
            return {name: tensors[tensor] for name, tensor in tensor_names.items()}
        if len(self.interpreter.get_signature_list()) == 1:
            return dict(self.interpreter.get_signature_runner().get_output_details())
        return tensors

    def __call__(self, image: Image) -> dict[str, QuantizedTensor]:
        view = self.interpreter.tensor(self.input_details["index"])()[0]
        self.write_input(image, view)
        del view  # the interpreter refuses to run while a view of its memory exists
        self.interpreter.invoke()
        read = self.interpreter.get_tensor
        return {
            name: QuantizedTensor(read(index)[0], scale, zero)
            for name, (index, scale, zero) in self.output_params.items()
        }


def _quantization(detail: dict[str, Any]) -> tuple[float, int]:
    scale, zero = detail["quantization"]
    return (float(scale), int(zero)) if scale else (1.0, 0)
