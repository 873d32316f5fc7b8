"""Runs inside the environment of Sony's tools (Python 3.11, Keras 2), as `python tools_script.py FOLDER`.

Nothing imports it, and it imports nothing of pocketsight. FOLDER has

job.json          network (see network_description.py), name, version of the target, whether to convert it
weights.npz       the weights of each layer by "layer/number"
calibration.npy   (N, H, W, 3), uint8: images that set the ranges
inputs.npy        (M, H, W, 3), uint8: images to run

and gets

float.npz         outputs by name of the first images before quantization
outputs.npz       outputs by name (M, ...) of the quantized network, float32
packed/           what Sony's converter writes, if it was asked for
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import edgemdt_tpc
import model_compression_toolkit as mct
import numpy as np
import tensorflow as tf

BATCH = 16
CHECKED = 2  # images whose outputs before quantization are compared


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    net = build(job["network"], np.load(folder / "weights.npz"))
    names = list(job["network"]["outputs"])
    inputs = np.load(folder / "inputs.npy")
    np.savez(folder / "float.npz", **run(net, names, inputs[:CHECKED]))
    report("quantizing")
    quantized = quantize(net, np.load(folder / "calibration.npy"), job["target_version"])
    report("running the quantized network")
    np.savez(folder / "outputs.npz", **run(quantized, names, inputs))
    if not job["packs"]:
        return
    report("converting")
    model = folder / f"{job['name']}.keras"
    mct.exporter.keras_export_model(model=quantized, save_model_path=str(model))
    converter = Path(sys.executable).with_name("imxconv-tf")
    command = [sys.executable, converter, "-i", model, "-o", folder / "packed", "--overwrite-output"]
    subprocess.run(list(map(str, command)), check=True)


def report(step: str) -> None:
    """Tell the caller what is going on; other lines on standard output are those of the tools."""
    print(f"step: {step}", flush=True)


def build(network: dict[str, Any], weights: Any) -> Any:
    """The network in tf.keras 2. Arguments that its layers do not have are the defaults of Keras 3."""
    tensors: dict[str, Any] = {}
    pixels = tf.keras.Input(network["input"], name="image")
    for layer in network["layers"]:
        if layer["kind"] == "InputLayer":
            tensors[layer["name"]] = pixels
            continue
        kind = getattr(tf.keras.layers, layer["kind"])
        known = inspect.signature(kind.__init__).parameters
        built = kind(name=layer["name"], **{k: v for k, v in layer["arguments"].items() if k in known})
        inputs = [tensors[name] for name in layer["inputs"]]
        tensors[layer["name"]] = built(inputs if len(inputs) > 1 else inputs[0])
        built.set_weights([weights[f"{layer['name']}/{number}"] for number in range(len(built.get_weights()))])
    return tf.keras.Model(pixels, [tensors[name] for name in network["outputs"].values()])


def quantize(net: Any, images: Any, target_version: str) -> Any:
    def representative() -> Iterator[list[Any]]:
        for image in images:
            yield [image[np.newaxis].astype(np.float32)]

    target = edgemdt_tpc.get_target_platform_capabilities(tpc_version=target_version, device_type="imx500")
    quantized, _ = mct.ptq.keras_post_training_quantization(net, representative, target_platform_capabilities=target)
    return quantized


def run(net: Any, names: list[str], images: Any) -> dict[str, Any]:
    """The outputs by name, (M, ...) float32."""
    batches = [
        [np.asarray(each) for each in tf.nest.flatten(net(images[first : first + BATCH].astype(np.float32)))]
        for first in range(0, len(images), BATCH)
    ]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*batches, strict=True), strict=True)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
