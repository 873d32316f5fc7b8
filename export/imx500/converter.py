"""Quantize, run and convert a network with Sony's tools, in their own environment."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree.ElementTree import Element, fromstring
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import ModelError, ParityError
from pocketsight.device.vision.image import Image
from pocketsight.export.imx500.network_description import describe_network
from pocketsight.export.imx500.tools_environment import TARGET_VERSION, tool_versions
from pocketsight.train.keras_backend import keras

SCRIPT = Path(__file__).with_name("tools_script.py")
PACKED, PARAMETERS = "packerOut.zip", "dnnParams.xml"
STEP = "step: "  # begins the lines of the script that say what it does
MAX_CARRY_ERROR = 1e-3  # of an output, between Keras 3 and Keras 2 before quantization
NO_OPERATORS = "MemoryReport", "Output", "Placeholder"  # entries of the converter's list for something else
CHECKED = 2  # inputs whose outputs before quantization are compared

Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class ConvertedNetwork:
    """What the tools made."""

    packed: bytes  # packerOut.zip, the input of imx500-package on the board
    outputs: Outputs  # (M, rows, columns, channels) of the quantized network
    facts: dict[str, Any]  # for the manifest


def convert(
    net: keras.Model,
    name: str,
    python: Path,
    calibration: Sequence[Image],
    inputs: Sequence[Image],
    on_step: Callable[[str], None],
) -> ConvertedNetwork:
    """Quantize a network with `calibration`, run it on `inputs`, both (H, W, 3) uint8, and convert it.

    Raises ModelError when a layer cannot be carried over or the tools fail, ParityError when the network does not fit
    the chip or changed on its way.
    """
    with _quantized(net, name, python, calibration, inputs, on_step, packs=True) as folder:
        (report,) = folder.glob("packed/*_MemoryReport.json")
        (layers,) = folder.glob("packed/*.pbtxt")
        packed = (folder / "packed" / PACKED).read_bytes()
        facts = read_facts(packed, sorted(net.output), json.loads(report.read_text()))
        facts["operators"] = count_operators(layers.read_text())
        return ConvertedNetwork(packed, dict(np.load(folder / "outputs.npz")), facts)


def quantize(
    net: keras.Model,
    python: Path,
    calibration: Sequence[Image],
    inputs: Sequence[Image],
    on_step: Callable[[str], None],
) -> Outputs:
    """The outputs of `convert` alone, in less than half the time. Raises as it does."""
    with _quantized(net, "network", python, calibration, inputs, on_step, packs=False) as folder:
        return dict(np.load(folder / "outputs.npz"))


@contextmanager
def _quantized(
    net: keras.Model,
    name: str,
    python: Path,
    calibration: Sequence[Image],
    inputs: Sequence[Image],
    on_step: Callable[[str], None],
    packs: bool,
) -> Iterator[Path]:
    """A folder with what tools_script.py writes."""
    network, weights = describe_network(net)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        job = {"name": name, "network": network, "target_version": TARGET_VERSION, "packs": packs}
        (folder / "job.json").write_text(json.dumps(job))
        np.savez(folder / "weights.npz", **weights)  # type: ignore[arg-type]
        np.save(folder / "calibration.npy", np.stack(calibration))
        np.save(folder / "inputs.npy", np.stack(inputs))
        _run_script(python, folder, on_step)
        require_carried(net, inputs[:CHECKED], dict(np.load(folder / "float.npz")))
        yield folder


def _run_script(python: Path, folder: Path, on_step: Callable[[str], None]) -> None:
    """Run the script on a folder. Raises ModelError with its last error."""
    script = shutil.copy(SCRIPT, folder)
    with (
        (folder / "errors").open("w+") as errors,
        subprocess.Popen(
            [python, "-I", script, folder], stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder
        ) as process,
    ):
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(STEP):
                on_step(line.removeprefix(STEP).strip())
    if process.returncode:
        text = (folder / "errors").read_text() + "".join(lines)
        errors_found = [line.strip() for line in text.splitlines() if "Error" in line or "ERROR" in line]
        reason = (errors_found or text.splitlines() or [f"exit status {process.returncode}"])[-1]
        raise ModelError(f"Sony's tools failed: {reason}; nothing was written")


def require_carried(net: keras.Model, inputs: Sequence[Image], found: Outputs) -> None:
    """Raise ParityError when the network in Keras 2 computes something else than that in Keras 3."""
    expected = net.predict_on_batch(np.stack(inputs).astype(np.float32))
    for name, values in expected.items():
        difference = float(np.abs(np.asarray(values) - found[name]).max())
        if not difference <= MAX_CARRY_ERROR:  # also NaN
            raise ParityError(
                f"output {name} changed by {difference:.3g} on its way to Keras 2; the limit is {MAX_CARRY_ERROR:g}. "
                "Nothing was written"
            )


def read_facts(packed: bytes, names: Sequence[str], memory_report: Mapping[str, Any]) -> dict[str, Any]:
    """What the packed network is, for the manifest: memory, the input, and each output with its type and scale.

    `names` are the outputs in the order that the network has them. Raises ParityError when it does not fit the chip, or
    does not take pixels as they are.
    """
    with ZipFile(BytesIO(packed)) as archive:
        network = fromstring(archive.read(PARAMETERS)).find("./networks/network")
        manifest = json.loads(archive.read("manifest.json"))
    assert network is not None
    report = memory_report["Memory Report"]
    memory = f"{report['Memory Usage']} of {report['Total Memory Available On Chip']}"
    if not report["Fit In Chip"]:
        raise ParityError(f"the network needs {memory} and does not fit the IMX500; take a smaller input or network")
    pixels = _tensor(network.findall("./inputTensors/inputTensor")[0])
    if (pixels["scale"], pixels["shift"], pixels["type"]) != (1.0, 0, "uint8"):
        raise ParityError(f"the quantized network does not take pixels as they are, but {pixels}; nothing was written")
    outputs = sorted(network.findall("./outputTensors/outputTensor"), key=lambda each: int(each.get("ordinal", 0)))
    return {
        "converter": manifest["Release Version"],
        "tools": tool_versions(),
        "memory": memory,
        "outputs": {name: _tensor(each) for name, each in zip(names, outputs, strict=True)},
    }


def _tensor(element: Element) -> dict[str, Any]:
    sign = "u" if element.get("format") == "unsigned" else ""
    dimensions = sorted(element.findall("./dimensions/dimension"), key=lambda each: int(each.get("ordinal", 0)))
    return {
        "shape": [int(each.get("size", 0)) for each in dimensions],
        "type": f"{sign}int{element.get('bitsPerElement')}",
        "scale": float(element.get("scale", 1)),
        "shift": int(element.get("shift", 0)),
    }


def count_operators(layers: str) -> dict[str, int]:
    """How often the converted network has each operator, from the text that the converter writes."""
    counts = Counter(re.findall(r'^ *type: "(\w+)"', layers, re.MULTILINE))
    return {kind: counts[kind] for kind in sorted(counts) if kind not in NO_OPERATORS}
