"""Small .tflite files as other programs make them, with random weights. Needs TensorFlow."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import tensorflow as tf

from pocketsight.device.inference.blazeface import GRIDS
from pocketsight.device.inference.interpreter import import_runtime
from pocketsight.device.system.stderr import suppress_stderr

Network = Callable[[Any], Any]
CLASSES = 3
YOLO_SIDE, YOLO_CELLS = 64, 84  # 8 * 8 + 4 * 4 + 2 * 2
SSD_ANCHORS = 12
ANCHORS = sum((128 // stride) ** 2 * count for stride, count in GRIDS[128])


def dense(side: int, count: int, gain: float = 1.0, seed: int = 0) -> Network:
    """`count` numbers from the averages of 4x4 parts of an image of `side` pixels, about -gain to gain."""
    rng = np.random.default_rng(seed)
    weights = tf.constant(rng.normal(0, gain / 7, (48, count)), tf.float32)
    bias = tf.constant(rng.normal(0, gain / 4, count), tf.float32)

    def network(image: Any) -> Any:
        parts = tf.nn.avg_pool2d(image, side // 4, side // 4, "VALID")
        return tf.matmul(tf.reshape(parts, (1, 48)), weights) + bias

    return network


def convert(
    network: Network, shape: tuple[int, ...], quantized: str | None = None, low: float = -1, high: float = 1
) -> bytes:
    """The .tflite of a network with an input of `shape`; `quantized` is the type of an input of `low` to `high`."""
    module = tf.Module()
    module.call = tf.function(network, input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])
    with (
        suppress_stderr(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        tempfile.TemporaryDirectory() as folder,
    ):
        warnings.simplefilter("ignore")
        tf.saved_model.save(module, folder, signatures=module.call)  # which keeps a composite function
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.allow_custom_ops = True
        if quantized:
            rng = np.random.default_rng(0)
            images = [np.full(shape, low), np.full(shape, high), *(rng.uniform(low, high, shape) for _ in range(8))]
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([image.astype(np.float32)] for image in images)
            converter.inference_input_type = converter.inference_output_type = getattr(tf, quantized)
        return bytes(converter.convert())


def classifier(ending: str = "softmax", quantized: str | None = None, rescaling: bool = False) -> bytes:
    """A classifier of CLASSES labels for images of 32x32; with `rescaling` it takes pixels of 0..255."""
    inner = dense(32, CLASSES, 6)

    def network(image: Any) -> Any:
        logits = inner(image / 127.5 - 1 if rescaling else image)
        return {"output": tf.nn.softmax(logits) if ending == "softmax" else logits}

    return convert(network, (1, 32, 32, 3), quantized)


def yolo(
    transposed: bool = False, channels_first: bool = False, unit: float = 1.0, quantized: str | None = None
) -> bytes:
    """A YOLO of CLASSES labels; a fifth of its scores is high. `unit` is 64 where its boxes are in pixels."""
    inner, rng = dense(YOLO_SIDE, CLASSES * YOLO_CELLS, 4), np.random.default_rng(1)
    boxes = rng.uniform(0.2, 0.8, (1, 4, YOLO_CELLS)).astype(np.float32) * unit

    def network(image: Any) -> Any:
        pixels = tf.transpose(image, (0, 2, 3, 1)) if channels_first else image
        scores = tf.sigmoid(tf.reshape(inner(pixels), (1, CLASSES, YOLO_CELLS)) - 1)
        shift = tf.reduce_mean(pixels) * 0.1 * unit
        output = tf.concat([tf.constant(boxes) + shift, scores], 1)
        return {"output": tf.transpose(output, (0, 2, 1)) if transposed else output}

    sides = (YOLO_SIDE, YOLO_SIDE)
    return convert(network, (1, 3, *sides) if channels_first else (1, *sides, 3), quantized, 0, 1)


def ssd() -> bytes:
    """An SSD of CLASSES labels for images of 32x32, with TFLite's operator for decoding and NMS at its end."""
    inner = dense(32, SSD_ANCHORS * (4 + CLASSES + 1), 2)
    anchors = tf.constant(np.random.default_rng(2).uniform(0.2, 0.8, (SSD_ANCHORS, 4)), tf.float32)
    values = {
        "max_detections": 6,
        "max_classes_per_detection": 1,
        "num_classes": CLASSES,
        "use_regular_nms": "b: false",
    }
    values |= {f"{name}_scale": f"f: {size}" for name, size in (("y", 10), ("x", 10), ("h", 5), ("w", 5))}
    values |= {"nms_score_threshold": "f: 0.1", "nms_iou_threshold": "f: 0.6"}
    attributes = [
        f'attr {{ key: "{name}" value {{ {value if isinstance(value, str) else f"i: {value}"} }} }}'
        for name, value in values.items()
    ]

    def post_process(boxes: Any, scores: Any, anchors: Any) -> Any:
        return tuple(tf.constant(0.0) for _ in range(4))

    composite = tf.function(
        post_process, experimental_implements=" ".join(['name: "TFLite_Detection_PostProcess"', *attributes])
    )

    def network(image: Any) -> Any:
        values = tf.reshape(inner(image), (1, SSD_ANCHORS, 4 + CLASSES + 1))
        outputs = composite(values[..., :4], tf.sigmoid(values[..., 4:]), anchors)
        return dict(zip(("boxes", "classes", "scores", "count"), outputs, strict=True))

    return convert(network, (1, 32, 32, 3))


def blazeface() -> bytes:
    """A BlazeFace of short range."""
    inner, rng = dense(128, 8, 2), np.random.default_rng(3)
    weights = tf.constant(rng.normal(0, 1, (8, ANCHORS)), tf.float32)
    sides = tf.constant(rng.uniform(10, 60, (1, ANCHORS, 16)), tf.float32)

    def network(image: Any) -> Any:
        logits = tf.matmul(inner(image), weights)
        return {"classificators": tf.reshape(logits - 4, (1, ANCHORS, 1)), "regressors": sides + tf.reduce_mean(image)}

    return convert(network, (1, 128, 128, 3))


def add_files(flatbuffer: bytes, entries: Mapping[str, bytes]) -> bytes:
    """A .tflite with files behind it, as TFLite's metadata library and Ultralytics write them."""
    file = io.BytesIO(flatbuffer)
    with ZipFile(file, "a") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def ultralytics_facts(**changes: object) -> dict[str, bytes]:
    """The file that Ultralytics adds."""
    facts = {"task": "detect", "stride": 32, "names": {"0": "go", "1": "stop", "2": "yield"}, "license": "AGPL-3.0"}
    return {"metadata.json": json.dumps(facts | changes).encode()}


def run_plain(path: Path, values: Any) -> list[Any]:
    """The outputs of a plain interpreter for an input in the type of the file, in the order of the file."""
    interpreter = import_runtime()[0].Interpreter(model_content=path.read_bytes())
    interpreter.allocate_tensors()
    (detail,) = interpreter.get_input_details()
    interpreter.set_tensor(detail["index"], np.asarray(values, detail["dtype"])[None])
    interpreter.invoke()
    outputs = []
    for output in interpreter.get_output_details():
        value, (scale, zero) = interpreter.get_tensor(output["index"])[0], output["quantization"]
        outputs.append((value.astype(np.float32) - zero) * scale if scale else value)
    return outputs
