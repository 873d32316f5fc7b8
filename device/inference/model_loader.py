"""TODO docstring."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.coral_fallback import FallbackModel, compiled_path, cpu_path
from pocketsight.device.inference.interpreter import (
    Model,
    TfliteModel,
    load_on_cpu,
)
from pocketsight.device.inference.model_file import read_model_file


def load_model(
    delegate: str, path: Path, task: str | None = None, threads: int | None = None, verify: bool = False
) -> Model:
    """As `load`, of a plain file or a compiled one; `delegate` as the option --delegate has it.

    "auto" takes the Coral where there is a compiled file and a Coral, else the CPU; "edgetpu" raises ModelError else.
    With `verify` a Coral whose golden output is wrong counts as none, now and whenever it is opened again.
    """
    spec = read_model_file(path)[1]
    compiled = path if spec.edgetpu else compiled_path(path)
    plain = cpu_path(path) if spec.edgetpu else path
    if delegate == "cpu" or not compiled.exists():
        if delegate not in ("auto", "cpu"):
            raise ModelError(f"{compiled} is not there; make it with: pocketsight export edgetpu {path}")
        return load_on_cpu(plain if plain.exists() else path, task, threads)
    fallback = load_on_cpu(plain, task, threads) if plain != compiled and plain.exists() else None
    switch = FallbackModel(compiled, fallback, task, _device_name(delegate), verify)
    try:
        switch.use_edgetpu(switch.open_edgetpu())
    except ModelError as error:
        if delegate != "auto" or fallback is None:
            raise
        switch.use_cpu(str(error))
    return Model(switch, fallback.spec if fallback else spec)


def _device_name(delegate: str) -> str:
    """As libedgetpu names it: "", "usb", "pci", ":1", "usb:1"."""
    rest = delegate.removeprefix("edgetpu") if delegate.startswith("edgetpu") else ""
    return rest if rest[1:].isdecimal() else rest[1:]


def active_delegate(model: Model) -> str:
    """What runs a model now: "edgetpu" or "cpu"."""
    return "edgetpu" if isinstance(model.infer, FallbackModel) and not model.infer.fallback_reason else "cpu"


def active_interpreter(loaded_model: Model) -> TfliteModel:
    """The interpreter that runs a model now."""
    model = loaded_model.infer.active_infer if isinstance(loaded_model.infer, FallbackModel) else loaded_model.infer
    assert isinstance(model, TfliteModel)
    return model


def count_switches(models: Iterable[Model]) -> int:
    """How often these models went to the Coral or left it."""
    return sum(loaded.infer.switch_count for loaded in models if isinstance(loaded.infer, FallbackModel))
