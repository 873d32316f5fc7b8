"""The training loop, the same for every net: Keras' own `fit` with checkpoints, a history and a progress bar."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pocketsight.device.errors import DataError
from pocketsight.train.console import console, log_message
from pocketsight.train.datasets.loader import Batch, BatchFn, BatchLoader
from pocketsight.train.keras_backend import keras
from pocketsight.train.recipe import Recipe

WEIGHTS_FILE = "model.weights.h5"
CHECKPOINT_FILE = "checkpoint.weights.h5"
HISTORY_FILE = "history.csv"


def describe_backend() -> str:
    """What will do the work: the GPU if Keras' backend sees one, else the CPU, and the versions."""
    backend = keras.backend.backend()
    gpus: list[str] = []
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = [d.name for d in tf.config.list_physical_devices("GPU")]
    elif backend == "torch":
        import torch

        gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    elif backend == "jax":
        import jax

        gpus = [str(d) for d in jax.devices() if d.platform != "cpu"]
    where = f"GPU {', '.join(gpus)}" if gpus else f"CPU, {len(os.sched_getaffinity(0))} cores (no GPU found)"
    return f"training on {where}; keras {keras.__version__} on {backend}"


LossFn = Callable[[Any, Any, Recipe], Any]  # targets, the net's outputs, recipe -> one number
TargetFn = Callable[[Any, Any], Any]  # targets, pictures -> targets


class Trainer(keras.Model):
    """A net together with its loss; only the net is saved.

    `teach`, if there is a teacher, makes the targets from those of the data and from the pictures.
    """

    def __init__(self, net: keras.Model, loss_fn: LossFn, recipe: Recipe, target_fn: TargetFn | None = None) -> None:
        super().__init__()
        self.net, self.loss_fn, self.recipe, self.target_fn = net, loss_fn, recipe, target_fn
        self.built = True  # or Keras refuses to load a checkpoint into it

    def call(self, images: Any, training: bool = False) -> Any:
        return self.net(images, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        return self.loss_fn(self.target_fn(y, x) if self.target_fn else y, y_pred, self.recipe)


def fit(
    net: keras.Model, loss_fn: LossFn, batch_fn: BatchFn, sample_count: int, validation: Batch, recipe: Recipe, folder: Path, workers: int,
    low_res_batch_fn: BatchFn | None = None, target_fn: TargetFn | None = None,
) -> None:  # fmt: skip
    """Train `net` and leave its averaged weights in `folder`. Goes on from a checkpoint there.

    `size` is the number of training pictures: an epoch is one pass over them, but at least 20 steps. The first epochs,
    `recipe.early` of all, learn from `early` if it is given.
    """
    trainer = Trainer(net, loss_fn, recipe, target_fn)
    epoch_steps = max(20, sample_count // recipe.batch)
    epochs = max(1, round(recipe.pictures / recipe.batch / epoch_steps))
    epoch_steps = max(1, round(recipe.pictures / recipe.batch / epochs))
    for line in validation.skipped:
        log_message(f"skipped: {line}")
    compile_trainer(trainer, net, recipe, epochs * epoch_steps, epoch_steps)
    skipped = dict.fromkeys(validation.skipped)
    border = round(recipe.low_res_share * epochs) if low_res_batch_fn else 0
    for source, last in ((low_res_batch_fn, border), (batch_fn, epochs)):
        done = _restore_checkpoint(trainer, folder)  # Keras' fit ends by averaging, which is for the very end
        if done >= epochs and (folder / WEIGHTS_FILE).exists():
            return
        if source and done < last:
            trainer.train_function = None  # or Keras makes one for pictures of any size, which TensorFlow cannot double
            loader = BatchLoader(source, workers, done * epoch_steps, last * epoch_steps)
            _fit_epochs(trainer, loader, validation, recipe, folder, (done, last, epochs, epoch_steps))
            skipped |= loader.skipped
    if trainer.optimizer.use_ema:
        trainer.optimizer.finalize_variable_values(trainer.trainable_weights)
    if skipped:
        log_message(f"{len(skipped)} pictures were skipped")
    part = folder / f"part.{WEIGHTS_FILE}"
    net.save_weights(part)
    os.replace(part, folder / WEIGHTS_FILE)


def _fit_epochs(
    trainer: keras.Model,
    loader: BatchLoader,
    validation: Batch,
    recipe: Recipe,
    folder: Path,
    schedule: tuple[int, int, int, int],
) -> None:
    """Keras' fit from epoch `span[0]` to `span[1]`, of `span[2]` in all, of `span[3]` steps.

    Raises what ended the feed, unwrapped.
    """
    done, last, epochs, steps = schedule
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=epochs * steps, completed=done * steps)
        try:
            trainer.fit(
                iter(loader),
                validation_data=(validation.images, validation.targets),
                validation_batch_size=recipe.batch,
                steps_per_epoch=steps,
                epochs=last,
                initial_epoch=done,
                shuffle=False,
                verbose=0,
                callbacks=[
                    Checkpoint(folder),
                    EpochReporter(loader, epochs, lambda: progress.advance(task)),
                ],
            )
        except KeyboardInterrupt:
            log_message(f"stopped; go on by the same command with --resume --out {folder}")
            raise
        except Exception as error:
            if isinstance(loader.error, BrokenProcessPool):
                raise DataError("a process that prepares pictures was killed; lower --workers") from error
            if loader.error:
                raise loader.error from error
            raise


def compile_trainer(trainer: keras.Model, net: keras.Model, recipe: Recipe, steps: int, epoch_steps: int) -> None:
    """AdamW with warm-up and cosine, and an averaged copy of the weights that takes their place at the end.

    With a `fall` in the recipe Adam, as Keras has it, and a rate that falls as 1 / (1 + c * epoch).
    """
    schedules = keras.optimizers.schedules
    if recipe.lr_decay:
        optimizer = keras.optimizers.Adam(
            schedules.InverseTimeDecay(recipe.learning_rate, epoch_steps, 1 / recipe.lr_decay - 1)
        )
    else:
        warmup = max(1, round(recipe.warmup * steps))
        average = min(recipe.ema_momentum, 1 - 10 / (steps + 20))  # a short training must not average its beginning
        optimizer = keras.optimizers.AdamW(
            schedules.CosineDecay(0.0, max(1, steps - warmup), warmup_target=recipe.learning_rate, warmup_steps=warmup),
            weight_decay=recipe.weight_decay, use_ema=True, ema_momentum=average, global_clipnorm=10.0,
        )  # fmt: skip
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    trainer.compile(optimizer=optimizer, jit_compile=False)
    optimizer.build(net.trainable_variables)


def _restore_checkpoint(trainer: keras.Model, folder: Path) -> int:
    """Load the checkpoint, if there is one; the number of epochs that it has seen."""
    state = folder / "checkpoint.json"
    if not state.exists():
        return 0
    trainer.load_weights(folder / CHECKPOINT_FILE)
    return int(json.loads(state.read_text())["epochs"])


class Checkpoint(keras.callbacks.Callback):
    """Weights, optimizer and losses after each epoch, so that a killed training goes on where it was."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        with (self.folder / HISTORY_FILE).open("a" if epoch else "w") as history:
            if not epoch:
                history.write("epoch,loss,val_loss\n")
            history.write(f"{epoch},{logs.get('loss', 0)},{logs.get('val_loss', 0)}\n")
        part = self.folder / f"part.{CHECKPOINT_FILE}"
        self.model.save_weights(part)
        os.replace(part, self.folder / CHECKPOINT_FILE)
        state = self.folder / "part.checkpoint.json"
        state.write_text(json.dumps({"epochs": epoch + 1}))
        os.replace(state, self.folder / "checkpoint.json")


class EpochReporter(keras.callbacks.Callback):
    """A line an epoch that says how the loss goes and how well the workers keep up; skipped pictures as they come."""

    def __init__(self, loader: BatchLoader, epochs: int, advance: Callable[[], None]) -> None:
        super().__init__()
        self.loader, self.epochs, self.advance = loader, epochs, advance
        self.reported_skips = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.start, self.waited_before = time.perf_counter(), self.loader.wait_seconds

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.advance()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        took = time.perf_counter() - self.start
        waited = (self.loader.wait_seconds - self.waited_before) / took
        log_message(
            f"epoch {epoch + 1}/{self.epochs}  loss {logs.get('loss', 0):.4f}  validation {logs.get('val_loss', 0):.4f}"
            f"  {took:.1f} s, {waited:.0%} of it waiting for pictures"
        )
        for line in list(self.loader.skipped)[self.reported_skips :]:
            log_message(f"skipped: {line}")
        self.reported_skips = len(self.loader.skipped)
