"""The training loop, the same for every net: Keras' own `fit` with checkpoints, a history and a progress bar."""

from __future__ import annotations

import json
import os
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
from pocketsight.train.run_folder import CHECKPOINT_FILE, WEIGHTS_FILE
from pocketsight.train.training.callbacks import Checkpoint, EpochReporter
from pocketsight.train.training.distillation import TargetFn

LossFn = Callable[[Any, Any, Recipe], Any]  # targets, the net's outputs, recipe -> one number


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
    net: keras.Model,
    loss_fn: LossFn,
    batch_fn: BatchFn,
    sample_count: int,
    validation: Batch,
    recipe: Recipe,
    folder: Path,
    workers: int,
    low_res_batch_fn: BatchFn | None = None,
    target_fn: TargetFn | None = None,
) -> None:
    """Train `net` and leave its averaged weights in `folder`. Goes on from a checkpoint there.

    `size` is the number of training pictures: an epoch is one pass over them, but at least 20 steps. The first epochs,
    `recipe.early` of all, learn from `early` if it is given.
    """
    trainer = Trainer(net, loss_fn, recipe, target_fn)
    epoch_steps = max(20, sample_count // recipe.batch_size)
    epochs = max(1, round(recipe.samples / recipe.batch_size / epoch_steps))
    epoch_steps = max(1, round(recipe.samples / recipe.batch_size / epochs))
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
                validation_batch_size=recipe.batch_size,
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
            weight_decay=recipe.weight_decay,
            use_ema=True,
            ema_momentum=average,
            global_clipnorm=10.0,
        )
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
