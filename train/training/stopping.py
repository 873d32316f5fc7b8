"""When a training ends early: it no longer improves, its time is over, or its loss is not a number."""

from __future__ import annotations

import json
import math
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_path, atomic_write
from pocketsight.train.console import log_message
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import BEST_STATE_FILE, BEST_WEIGHTS_FILE, WEIGHTS_ENDING
from pocketsight.train.training.distribution import Cluster, not_distributed

WARM_STEPS = 6  # of an epoch, in which the step may be compiled
FINISH = 0.1  # share of a training's time for scoring and plots, after its last step


class ValidateAverages(keras.callbacks.Callback):
    """Validates the averaged weights, which are those that a training keeps. Must be the last callback.

    SwapEMAWeights of Keras swaps by sums and differences, so rounding changes the weights in every epoch.
    """

    def on_test_begin(self, logs: Any = None) -> None:
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        self.variables = self.model.trainable_variables if optimizer.use_ema else []
        self.values = [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.variables]
        optimizer.finalize_variable_values(self.variables)
        if keras.backend.backend() == "jax":  # a copy: JAX frees the arrays of the weights that it tests
            for variable in self.variables:
                variable.assign(np.array(keras.ops.convert_to_numpy(variable)))

    def on_test_end(self, logs: Any = None) -> None:
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)


class EarlyStopping(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the lowest validation loss, and stops `patience` epochs after it.

    Epochs before `first_epoch` do not count: their images are smaller. Continues from the files in `folder`. Without
    patience it does nothing. Every process of a cluster has one, so that all stop; the first one writes.
    """

    def __init__(self, folder: Path, patience: int, first_epoch: int, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster
        self.weights, self.state = folder / BEST_WEIGHTS_FILE, folder / BEST_STATE_FILE
        self.patience, self.first_epoch = patience, first_epoch
        found = json.loads(self.state.read_text()) if cluster.is_writer and self.state.exists() else {}
        best = cluster.broadcast((np.array(found.get("epoch", -1)), np.array(found.get("val_loss", math.inf))))
        self.best_epoch, self.best_loss = int(best[0]), float(best[1])

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_test_end(self, logs: Any = None) -> None:
        loss = (logs or {})["loss"]
        if not self.patience or self.epoch < self.first_epoch or not loss < self.best_loss:
            return
        self.best_epoch, self.best_loss = self.epoch, loss
        if not self.cluster.is_writer:
            return
        with not_distributed(), atomic_path(self.weights, WEIGHTS_ENDING) as part:
            self.model.net.save_weights(part)
        atomic_write(self.state, json.dumps({"epoch": self.epoch, "val_loss": loss}))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.is_over(epoch + 1):
            self.model.stop_training = True

    def is_over(self, epochs: int) -> bool:
        """Whether a training that has seen `epochs` epochs shall stop."""
        return self.patience > 0 and epochs > max(self.best_epoch, self.first_epoch) + self.patience

    def restore_best(self, net: keras.Model) -> bool:
        """Load the kept weights into the network, if there are any."""
        if not self.patience or self.best_epoch < 0:
            return False
        with self.cluster.shared_file(self.weights) as file:
            net.load_weights(file)
        log_message(f"the weights of epoch {self.best_epoch + 1} are the best: validation {self.best_loss:.4f}")
        return True


class KeepTime(keras.callbacks.Callback):
    """Lets an epoch count for more than one where the rest of the training would not end at the deadline.

    The schedule of the learning rate runs ahead with it, so that it still falls to 0. `deadline` is a time of
    `perf_counter`, `steps` the length of the whole training. Comes before the callback that writes the checkpoint.
    """

    def __init__(self, deadline: float, steps: int) -> None:
        super().__init__()
        self.deadline, self.steps, self.is_shortened = deadline, steps, False
        self.start = math.inf

    def on_train_begin(self, logs: Any = None) -> None:
        self.model.skipped_steps %= self.params["steps"]  # the number of the first epoch has the others

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = perf_counter()
        if batch == WARM_STEPS - 1:
            self.start = now
        if now > self.deadline:
            self.model.stop_training = True  # within the epoch, which counts as a whole one

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        epoch_steps = self.params["steps"]
        done = (epoch + 1) * epoch_steps + self.model.skipped_steps
        now, missing = perf_counter(), self.steps - done
        possible = max(1.0, (self.deadline - now) / (now - self.start) * (epoch_steps - WARM_STEPS))
        if missing > possible:
            skipped = min(missing, round(epoch_steps * (missing / possible - 1)))
            self.model.skipped_steps += skipped
            optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
            optimizer.iterations.assign_add(skipped)
            done += skipped
            if not self.is_shortened:
                log_message("the machine is slower than at the start; the training is shortened, to end in time")
            self.is_shortened = True
        if done >= self.params["epochs"] * epoch_steps:
            self.model.stop_training = True


class StopAtNaN(keras.callbacks.Callback):
    """Raises DataError when the loss or a weight is not finite. Comes before the callback that writes the checkpoint.

    Keras has converted the loss of every step to a number by then, so the check waits for nothing.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite((logs or {})["loss"]):
            self._stop("loss", batch + 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # The last step can spoil the weights after its loss.
        weights = map(keras.ops.convert_to_numpy, self.model.trainable_variables)
        if not math.isfinite((logs or {}).get("val_loss", 0.0)) or not all(np.isfinite(w).all() for w in weights):
            self._stop("weights", self.params["steps"])

    def _stop(self, what: str, batches: int) -> None:
        step = self.epoch * self.params["steps"] + batches
        kept = f"{self.folder} keeps the checkpoint of epoch {self.epoch}" if self.epoch else "nothing is kept"
        rate = self.model.recipe.learning_rate / 2
        float32 = "" if keras.config.dtype_policy().compute_dtype == "float32" else ", or --precision float32"
        raise DataError(
            f"the {what} became infinite or NaN at step {step}, in epoch {self.epoch + 1}; {kept}. Continue with "
            f"--resume --out {self.folder} and a lower rate, such as --set learning_rate={rate:g}{float32}"
        )
