"""A fake Coral: files as its compiler makes them, and a stand-in for libedgetpu."""

from __future__ import annotations

import gc
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from pocketsight.device.inference import coral_devices, coral_fallback
from pocketsight.device.inference.checksum import compute_checksum
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.shipped import SHIPPED_MODELS
from pocketsight.device.vision.image import Image

CUSTOM = "edgetpu-custom-op"


def graph(flatbuffer: bytes) -> Any:
    """A flatbuffer as objects that can be changed."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer, 0))


def packed(model: Any) -> bytes:
    """The flatbuffer of such objects."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operator(model: Any, kind: str) -> Any:
    """The last operator of a kind, and nothing else of that kind is touched."""
    number = getattr(schema.BuiltinOperator, kind)
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return next(op for op in reversed(model.subgraphs[0].operators) if codes[op.opcodeIndex] == number)


def become(model: Any, kind: str, other: str | None, name: str = "", version: int = 1) -> None:
    """Make the last operator of a kind another."""
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, other) if other else schema.BuiltinOperator.CUSTOM
    code.deprecatedBuiltinCode, code.customCode = min(code.builtinCode, 127), name.encode() or None
    code.version = version
    model.operatorCodes.append(code)
    operator(model, kind).opcodeIndex = len(model.operatorCodes) - 1


def compiled(flatbuffer: bytes, signature: bool = True, left: int = 0) -> bytes:
    """All operators but the last `left` in one of the Edge TPU's, as its compiler writes it."""
    model = graph(flatbuffer)
    (part,) = model.subgraphs
    split = len(part.operators) - left
    made = {index for each in part.operators[:split] for index in each.outputs}
    wanted = [index for each in part.operators[split:] for index in each.inputs] + list(part.outputs)
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = CUSTOM.encode(), 1
    operator.opcodeIndex, operator.inputs = len(model.operatorCodes), list(part.inputs)
    operator.outputs = [index for index in dict.fromkeys(wanted) if index in made]
    operator.customOptions = list(b"the weights and the program")
    model.operatorCodes, part.operators = [*model.operatorCodes, code], [operator, *part.operators[split:]]
    if not signature:
        model.signatureDefs = None
    return packed(model)


def names(flatbuffer: bytes) -> dict[str, str]:
    """The tensor of each output."""
    model = graph(flatbuffer)
    tensors = model.subgraphs[0].tensors
    return {o.name.decode(): tensors[o.tensorIndex].name.decode() for o in model.signatureDefs[0].outputs}


def write_compiled(plain: Path, path: Path, signature: bool = True, origin: str = "") -> Path:
    """The compiled file of a plain one, with its manifest; `origin` replaces the checksum of the plain one."""
    flatbuffer, spec = read_model_file(plain)
    found = compiled(flatbuffer, signature)
    facts = {"source_sha256": origin or spec.sha256, "outputs": names(flatbuffer)}
    path.write_bytes(pack_model_file(found, replace(spec, sha256=compute_checksum(found), edgetpu=facts)))
    return path


def write_plain(model: Any, spec: ModelSpec, path: Path) -> Path:
    """A file of ours with a changed graph."""
    flatbuffer = packed(model)
    path.write_bytes(pack_model_file(flatbuffer, replace(spec, sha256=compute_checksum(flatbuffer))))
    return path


@cache
def library() -> Path:
    """The stand-in, compiled once. Skips the test where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs cc: sudo apt install gcc libc6-dev")
    target = Path(mkdtemp(prefix="pocketsight")) / "libfake.so"
    source = Path(__file__).with_name("edgetpu.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", target, source], check=True)
    return target


def write_pairs(folder: Path) -> Path:
    """Both shipped models and their compiled files; that of the classifier has lost its signature."""
    folder.mkdir()
    for task in ("detector", "classifier"):
        plain = Path(shutil.copy(SHIPPED_MODELS[task], folder))
        write_compiled(plain, folder / f"{plain.stem}_edgetpu.tflite", signature=task == "detector")
    return folder


def plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace libedgetpu by the stand-in, with its device plugged in; returns the folder that controls it."""
    gc.collect()  # what an earlier test left would be closed later, and counted in this one
    monkeypatch.setattr(coral_fallback, "LIBEDGETPU", str(library()))
    monkeypatch.setattr(coral_devices, "find_corals", list)
    monkeypatch.setenv("FAKE_CORAL", str(folder))
    folder.mkdir()
    (folder / "plugged").touch()
    return folder


def unplug(device: Path) -> None:
    """Take the device away."""
    (device / "plugged").unlink()


def opened(device: Path) -> list[str]:
    """The options of each opening."""
    return (device / "opened").read_text().splitlines() if (device / "opened").exists() else []


def blank(loaded: Model) -> Image:
    return np.full((*loaded.spec.input_size, 3), 90, np.uint8)


def answers(loaded: Model) -> dict[str, bytes]:
    return {name: tensor.values.tobytes() for name, tensor in loaded.infer(blank(loaded)).items()}


def on_coral(loaded: Model) -> bool:
    """The stand-in fills everything with -128, which no real output is."""
    return all(set(values) == {128} for values in answers(loaded).values())
