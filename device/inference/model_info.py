"""The content of a model file, for `pocketsight info`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pocketsight.device.inference.interpreter import TfliteModel
from pocketsight.device.inference.model_file import read_model_file


def describe_model(path: Path) -> dict[str, Any]:
    """Manifest, input, outputs, operators, size in bytes and interpreter, ready for JSON. Raises ModelError."""
    flatbuffer, spec = read_model_file(path)
    edgetpu = spec.edgetpu
    model = TfliteModel(flatbuffer, 1, path, output_tensor_names=edgetpu.get("outputs"), allocate=not edgetpu)
    details = {detail["index"]: detail for detail in model.interpreter.get_output_details()}
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "interpreter": model.runtime_name + (" and a Coral" if edgetpu else ""),
        "input": _tensor_info(model.input_details),
        "outputs": {name: _tensor_info(details[index]) for name, (index, *_) in sorted(model.output_params.items())},
        "operators": count_operators(model),
        "manifest": spec.to_dict(),
    }


def count_operators(model: TfliteModel) -> dict[str, int]:
    """The operators of the graph with their number, most frequent first; "delegate" is a part that XNNPACK runs."""
    counts = Counter(op["op_name"].lower() for op in model.interpreter._get_ops_details())
    return dict(counts.most_common())


def _tensor_info(detail: dict[str, Any]) -> dict[str, Any]:
    scale, zero = detail["quantization"]
    return {"shape": detail["shape"].tolist(), "dtype": detail["dtype"].__name__, "scale": scale, "zero": zero}
