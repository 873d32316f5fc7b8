"""Sony's tools for a test, run as a script in their place: they quantize nothing, and pack what they are given.

TOOLS_SCRIPT is the path of the real script, whose other code runs; TOO_LARGE makes the network one that does not fit,
PIXEL_SCALE one that does not take pixels.
"""

import json
import os
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

TENSOR = (
    '<{kind}Tensor ordinal="{number}" bitsPerElement="8" shift="0" scale="{scale}" format="unsigned">'
    "<dimensions>{sides}</dimensions></{kind}Tensor>"
)
OPERATORS = '  type: "Placeholder"\n  type: "Convolution"\n  type: "Convolution"\n  type: "Sigmoid"\n'


def tensor(kind: str, number: int, scale: object, shape: Any) -> str:
    sides = "".join(f'<dimension size="{side}" ordinal="{axis}"/>' for axis, side in enumerate(shape))
    return TENSOR.format(kind=kind, number=number, scale=scale, sides=sides)


def pack(model: Any, save_model_path: str) -> None:
    """What the converter writes; it lists the outputs in another order than the network has them."""
    folder = Path(save_model_path).parent
    pixels = json.loads((folder / "job.json").read_text())["network"]["input"]
    outputs = [tensor("output", number, 1 / 256, each.shape[1:]) for number, each in enumerate(model.outputs)]
    inputs = f"<inputTensors>{tensor('input', 0, os.environ.get('PIXEL_SCALE', 1.0), pixels)}</inputTensors>"
    network = f"<network>{inputs}<outputTensors>{''.join(outputs[::-1])}</outputTensors></network>"
    (folder / "packed").mkdir()
    with zipfile.ZipFile(folder / "packed" / "packerOut.zip", "w") as archive:
        archive.writestr("dnnParams.xml", f"<dnnParams><networks>{network}</networks></dnnParams>")
        archive.writestr("manifest.json", '{"Release Version": "3"}')
    fits = "TOO_LARGE" not in os.environ
    report = {"Memory Usage": "995KB", "Total Memory Available On Chip": "8.00MB", "Fit In Chip": fits}
    (folder / "packed" / "net_MemoryReport.json").write_text(json.dumps({"Memory Report": report}))
    (folder / "packed" / "net.pbtxt").write_text(OPERATORS)


def main() -> None:
    mct: Any = types.ModuleType("model_compression_toolkit")
    mct.exporter = types.SimpleNamespace(keras_export_model=pack)
    sys.modules |= {"model_compression_toolkit": mct, "edgemdt_tpc": types.ModuleType("edgemdt_tpc")}
    real: dict[str, Any] = {"__name__": "tools_script"}
    exec(compile(Path(os.environ["TOOLS_SCRIPT"]).read_text(), "tools_script.py", "exec"), real)
    real["quantize"] = lambda net, images, target_version: net
    real["subprocess"] = types.SimpleNamespace(run=lambda *words, **more: None)
    real["main"](Path(sys.argv[1]))


if __name__ == "__main__":
    main()
