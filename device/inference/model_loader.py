"""Load a model by its path or by the name of a shipped model, on the CPU or on a Coral."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.coral_fallback import FallbackModel, compiled_path, cpu_path
from pocketsight.device.inference.golden import check_golden
from pocketsight.device.inference.interpreter import LoadedGraph, Model, load_on_cpu
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import MODEL_NAMES


def load_model(
    model: Path | str,
    task: str | None = None,
    threads: int | None = None,
    delegate: str = "auto",
    verify: bool = False,
) -> Model:
    """Load a model file.

    `model` is a path, or the name of a shipped model: "detector", "classifier", "tiny" or "large" (both detectors).
    With `task`, "detector" or "classifier", a model for another task is an error. `threads` None measures the fastest
    number once and caches it. `delegate` is "auto", "cpu" or "edgetpu", the latter also with a bus and a number as in
    "edgetpu:usb:1": "auto" uses a Coral if there is one and a file compiled for it, otherwise the CPU.

    With `verify` the model must reproduce its golden output. A Coral that does not is treated as missing, now and
    whenever it is opened again.

    Raises ModelError when the file is missing, damaged or for another task, when "edgetpu" finds no Coral, or when the
    golden output is wrong.
    """
    path = MODEL_NAMES[model] if isinstance(model, str) and model in MODEL_NAMES else Path(model)
    loaded = _load(path, task, threads, delegate, verify)
    if verify and active_delegate(loaded) == "cpu":  # a Coral was verified when it was opened
        check_golden(loaded, path)
    return loaded


def _load(path: Path, task: str | None, threads: int | None, delegate: str, verify: bool) -> Model:
    spec = read_model_file(path)[1]
    compiled = path if spec.edgetpu else compiled_path(path)
    plain = cpu_path(path) if spec.edgetpu else path
    if delegate == "cpu" or not compiled.exists():
        if delegate not in ("auto", "cpu"):
            raise ModelError(f"{compiled} does not exist; make it with: pocketsight export edgetpu {path}")
        return load_on_cpu(plain if plain.exists() else path, task, threads)
    cpu_model = load_on_cpu(plain, task, threads) if plain != compiled and plain.exists() else None
    fallback = FallbackModel(compiled, cpu_model, task, _device_name(delegate), verify)
    try:
        fallback.use_edgetpu(fallback.open_edgetpu())
    except ModelError as error:
        if delegate != "auto" or cpu_model is None:
            raise
        fallback.use_cpu(str(error))
    return Model(fallback, cpu_model.spec if cpu_model else spec)


def _device_name(delegate: str) -> str:
    """The device as libedgetpu names it: "", "usb", "pci", ":1" or "usb:1"."""
    rest = delegate.removeprefix("edgetpu") if delegate.startswith("edgetpu") else ""
    return rest if rest[1:].isdecimal() else rest[1:]


def active_delegate(model: Model) -> str:
    """The device that runs a model now: "edgetpu" or "cpu"."""
    return "edgetpu" if isinstance(model.infer, FallbackModel) and not model.infer.fallback_reason else "cpu"


def active_interpreter(model: Model) -> LoadedGraph:
    """The interpreter that runs a model now."""
    infer = model.infer.active_infer if isinstance(model.infer, FallbackModel) else model.infer
    assert isinstance(infer, LoadedGraph)
    return infer


def count_switches(models: Iterable[Model]) -> int:
    """How often these models changed to a Coral or away from it."""
    return sum(model.infer.switch_count for model in models if isinstance(model.infer, FallbackModel))
