"""Small networks of each kind, and run folders with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.train.run_folder import WEIGHTS_FILE, build_network

NETWORKS = {
    "grid141k": ModelSpec(
        "detector", "grid141k", (96, 128), ("face",), 0.5, strides=(8, 16, 32), nms_iou_threshold=0.4
    ),
    "three labels": ModelSpec(
        "detector", "grid141k", (96, 128), ("go", "stop", "yield"), 0.5, strides=(8, 16, 32), nms_iou_threshold=0.4
    ),
    "vgg16": ModelSpec("detector", "vgg16", (32, 32), ("face",), 0.5),
    "crop71k": ModelSpec("classifier", "crop71k", (64, 64), ("happy", "sad", "_neutral"), 0.6, crop_margin=0.1),
    "cnn256": ModelSpec("classifier", "cnn256", (32, 32), ("happy", "sad"), 0.6),
}


def trained_network(spec: ModelSpec) -> Any:
    """A network whose weights are not the initial ones: no bias is 0, no variance 1."""
    net = build_network(spec)
    rng = np.random.default_rng(0)
    net.set_weights([weight + rng.uniform(0, 0.01, weight.shape) for weight in net.get_weights()])
    return net


def write_run_folder(folder: Path, spec: ModelSpec) -> Any:
    """A finished run folder, and its network."""
    net = trained_network(spec)
    folder.mkdir()
    (folder / MANIFEST_NAME).write_text(spec.to_json())
    net.save_weights(folder / WEIGHTS_FILE)
    return net
