"""A small training as a process of its own, for several devices and processes. Needs JAX, and no TensorFlow.

python cluster_training.py FOLDER [EPOCH]       # this process is killed after that epoch
"""

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.train.datasets.loader import Batch

BATCH_SIZE, STEPS, VALIDATION = 8, 60, 20


def make_rows(step: int, rows: range) -> Batch:
    """Images of noise, and the mean of their red channel."""
    images = [np.random.default_rng([step, row]).integers(0, 9, (8, 8, 3)) for row in rows]
    pixels = np.stack(images).astype(np.uint8)
    return Batch(pixels, pixels[..., :1].mean((1, 2)).astype(np.float32))


def main(folder: Path, last_epoch: int | None) -> None:
    """Train, and write the weights into `folder`."""
    hidden: Any = {"tensorflow": None}  # Keras would import it for its seed, which takes seconds
    sys.modules.update(hidden)
    from pocketsight.device.inference.manifest import ModelSpec
    from pocketsight.train.keras_backend import keras
    from pocketsight.train.networks.layers import conv
    from pocketsight.train.recipe import DETECTOR_RECIPE
    from pocketsight.train.training import callbacks
    from pocketsight.train.training.distribution import joined_cluster
    from pocketsight.train.training.options import TrainingOptions
    from pocketsight.train.training.trainer import fit

    def squared(targets: Any, outputs: Any, recipe: Any) -> Any:
        return keras.ops.mean(keras.ops.square(targets - outputs))

    def die(reporter: Any, epoch: int, logs: Any = None) -> None:
        if epoch == last_epoch:
            os._exit(9)

    if last_epoch is not None:
        setattr(callbacks.EpochReporter, "on_epoch_end", die)  # noqa: B010
    recipe = replace(DETECTOR_RECIPE, samples=BATCH_SIZE * STEPS, batch_size=BATCH_SIZE, learning_rate=0.01)
    spec = ModelSpec("detector", "small", (8, 8), ("face",), 0.5, training={"recipe": {"batch_size": BATCH_SIZE}})
    with joined_cluster(spec) as cluster:
        keras.utils.set_random_seed(0)
        pixels = keras.Input((8, 8, 3))
        centered = pixels / 4.0 - 1.0  # or rounding errors would grow
        features = keras.layers.GlobalAveragePooling2D()(conv(centered, 8, 3))
        net = keras.Model(pixels, keras.layers.Dense(1)(features))
        options = TrainingOptions(workers=1, cluster=cluster)
        draw = partial(make_rows, rows=cluster.rows(BATCH_SIZE))
        validation = make_rows(STEPS, range(VALIDATION))
        fit(net, squared, draw, BATCH_SIZE * STEPS // 3, validation, recipe, folder, options)
        if cluster.is_writer:
            np.savez(folder / "weights.npz", *net.get_weights())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
