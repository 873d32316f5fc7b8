"""The content of a model file or of any other .tflite, for `pocketsight info`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.imx500_file import SUFFIX, read_imx500_file
from pocketsight.device.inference.interpreter import LoadedGraph, TfliteModel
from pocketsight.device.inference.model_file import ForeignModelError, read_contents, read_model_file


def describe_model(path: Path) -> dict[str, Any]:
    """Manifest, input, outputs, operators, size in bytes and interpreter, ready for JSON. Raises ModelError."""
    if path.name.endswith(SUFFIX):
        return _describe_camera_file(path)
    try:
        flatbuffer, spec = read_model_file(path)
    except ForeignModelError:
        return _describe_foreign(path)
    model = TfliteModel(flatbuffer, 1, path, spec, allocate=not spec.edgetpu)
    details = {detail["index"]: detail for detail in model.interpreter.get_output_details()}
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "interpreter": model.runtime_name + (" and a Coral" if spec.edgetpu else ""),
        "input": _tensor_info(model.input_details),
        "outputs": {name: _tensor_info(details[index]) for name, (index, *_) in sorted(model.output_params.items())},
        "operators": count_operators(model),
        "manifest": spec.to_dict(),
    }


def _describe_camera_file(path: Path) -> dict[str, Any]:
    """What a file for the AI Camera is, by its manifest; the sensor takes pixels as they are."""
    spec = read_imx500_file(path)[1]
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "interpreter": f"the AI Camera, {spec.imx500['memory']}",
        "input": {"shape": [1, *spec.input_size, 3], "dtype": "uint8", "scale": 1.0, "zero": 0},
        "outputs": {
            name: {"shape": facts["shape"], "dtype": facts["type"], "scale": facts["scale"], "zero": facts["shift"]}
            for name, facts in sorted(spec.imx500["outputs"].items())
        },
        "operators": spec.imx500.get("operators", {}),
        "manifest": spec.to_dict(),
    }


def _describe_foreign(path: Path) -> dict[str, Any]:
    """What any .tflite is, with its inputs by name. "problem" says why it does not run here; "" where it does."""
    flatbuffer, entries = read_contents(path)
    problem = ""
    try:
        graph = LoadedGraph(flatbuffer, 1, path)
    except ModelError as error:
        problem, graph = str(error), LoadedGraph(flatbuffer, 1, path, allocate=False)
    interpreter = graph.interpreter
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "interpreter": graph.runtime_name,
        "problem": problem,
        "inputs": {detail["name"]: _tensor_info(detail) for detail in interpreter.get_input_details()},
        "outputs": {detail["name"]: _tensor_info(detail) for detail in interpreter.get_output_details()},
        "operators": count_operators(graph),
        "associated_files": sorted(entries),
        "manifest": None,
    }


def count_operators(model: LoadedGraph) -> dict[str, int]:
    """The operators of the graph with their number, most frequent first; "delegate" is a part that XNNPACK runs."""
    counts = Counter(op["op_name"].lower() for op in model.interpreter._get_ops_details())
    return dict(counts.most_common())


def _tensor_info(detail: dict[str, Any]) -> dict[str, Any]:
    scale, zero = detail["quantization"]
    return {"shape": detail["shape"].tolist(), "dtype": np.dtype(detail["dtype"]).name, "scale": scale, "zero": zero}
