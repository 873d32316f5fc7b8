"""A short training of the shipped detector on drawn faces, to compare the backends of Keras.

KERAS_BACKEND=jax python backend_training.py DATA FOLDER       # DATA as write_detection_dataset makes it
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

LOSSES, OUTPUTS = "losses.npy", "outputs.npz"


def main(data: Path, folder: Path) -> None:
    """Train 20 steps. Write the weights, the mean loss after each step, and the outputs for the validation images."""
    from pocketsight.device.inference.manifest import ModelSpec
    from pocketsight.train.datasets.detection import read_detection_dataset
    from pocketsight.train.datasets.detection_batches import DetectionBatches, validation_batch
    from pocketsight.train.keras_backend import keras
    from pocketsight.train.networks.registry import ARCHITECTURES
    from pocketsight.train.recipe import DETECTOR_RECIPE
    from pocketsight.train.run_folder import load_run
    from pocketsight.train.training.memory import find_fitting_size
    from pocketsight.train.training.options import TrainingOptions
    from pocketsight.train.training.prepare import create_network, prepare_run_folder
    from pocketsight.train.training.trainer import Trainer, compile_trainer, fit

    recipe = replace(DETECTOR_RECIPE, samples=160, batch_size=8, input_size=(64, 96), low_res_share=0.0)
    architecture = ARCHITECTURES["detector"]["grid141k"]
    facts = {"recipe": {"seed": 0, "batch_size": 8}}
    spec = ModelSpec("detector", "grid141k", (64, 96), ("face",), 0.5, architecture.strides, 0.45, training=facts)
    samples = read_detection_dataset(data).splits["train"]
    batches, validation = DetectionBatches(samples, spec, recipe), validation_batch(samples[:8], spec)
    losses: list[float] = []
    collect = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(float(logs["loss"])))
    net, spec = create_network(spec, "shipped", resume=False)
    folder = prepare_run_folder(folder, False, spec)
    options: Any = TrainingOptions(workers=1)
    fit(
        net,
        architecture.loss,
        batches,
        160,
        validation,
        recipe,
        folder,
        options,
        None,
        None,
        architecture.loss_parts,
        [collect],
    )
    np.save(folder / LOSSES, losses)
    outputs = load_run(folder)[0].predict_on_batch(validation.images.astype(np.float32))
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in outputs.items()}
    np.savez(folder / OUTPUTS, **arrays)
    if keras.backend.backend() == "torch":  # whose losses take no arrays
        trainer = Trainer(net, architecture.loss, recipe, None, architecture.loss_parts)
        compile_trainer(trainer, net, recipe, 20, 20)
        assert find_fitting_size(trainer, batches(0)) == 4


if __name__ == "__main__":
    hidden: Any = {"tensorflow": None}  # Keras would import it for its seed, which takes seconds
    sys.modules.update(hidden)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
