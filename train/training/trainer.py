"""The training loop of every network: Keras' `fit` with checkpoints, a history and a progress bar."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_path
from pocketsight.train.console import console, log_message
from pocketsight.train.datasets.loader import MAX_SKIPPED, Batch, BatchFn, BatchLoader
from pocketsight.train.gpu import list_gpus
from pocketsight.train.keras_backend import keras
from pocketsight.train.recipe import Recipe
from pocketsight.train.run_folder import CHECKPOINT_FILE, WEIGHTS_ENDING, WEIGHTS_FILE, read_checkpoint_state
from pocketsight.train.training.callbacks import Checkpoint, EpochReporter
from pocketsight.train.training.distillation import TargetFn
from pocketsight.train.training.distribution import Cluster, not_distributed
from pocketsight.train.training.memory import MAX_UNREHEARSED_BATCH, explain_memory_errors, rehearse_step
from pocketsight.train.training.options import TrainingOptions
from pocketsight.train.training.stopping import EarlyStopping, KeepTime, StopAtNaN, ValidateAverages

# Targets, outputs of the network, recipe -> a scalar, or the parts of a sum by name.
LossFn = Callable[[Any, Any, Recipe], Any]
MIN_EPOCH_STEPS = 20


class Trainer(keras.Model):
    """A network and its loss. Attribute names are paths inside a checkpoint, so `net` keeps its name.

    `target_fn`, if given, makes the targets from those of the data and from the images. `loss_parts` are the names in
    the dict that `loss_fn` returns, if it does.
    """

    def __init__(
        self,
        net: keras.Model,
        loss_fn: LossFn,
        recipe: Recipe,
        target_fn: TargetFn | None = None,
        loss_parts: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.net, self.loss_fn, self.recipe, self.target_fn = net, loss_fn, recipe, target_fn
        self.part_losses = [keras.metrics.Mean(f"{name}_loss") for name in loss_parts]
        self.skipped_steps = 0  # by KeepTime
        self.built = True  # or Keras refuses to load a checkpoint

    def call(self, images: Any, training: bool = False) -> Any:
        return self.net(images, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        loss = self.loss_fn(self.target_fn(y, x) if self.target_fn else y, y_pred, self.recipe)
        if not self.part_losses:
            return loss
        for part, metric in zip(loss.values(), self.part_losses, strict=True):
            metric.update_state(part, sample_weight=keras.ops.shape(x)[0])
        return sum(loss.values())


class Schedule(NamedTuple):
    """How long a training is."""

    epochs: int
    epoch_steps: int
    low_res_epochs: int  # at its start

    @property
    def steps(self) -> int:
        return self.epochs * self.epoch_steps


def plan_schedule(recipe: Recipe, sample_count: int, low_res: bool) -> Schedule:
    """An epoch is one pass over `sample_count` images, but at least MIN_EPOCH_STEPS steps."""
    epoch_steps = max(MIN_EPOCH_STEPS, sample_count // recipe.batch_size)
    epochs = max(1, round(recipe.samples / recipe.batch_size / epoch_steps))
    epoch_steps = max(1, round(recipe.samples / recipe.batch_size / epochs))
    return Schedule(epochs, epoch_steps, round(recipe.low_res_share * epochs) if low_res else 0)


def fit(
    net: keras.Model,
    loss_fn: LossFn,
    batch_fn: BatchFn,
    sample_count: int,
    validation: Batch,
    recipe: Recipe,
    folder: Path,
    options: TrainingOptions,
    low_res_batch_fn: BatchFn | None = None,
    target_fn: TargetFn | None = None,
    loss_parts: Sequence[str] = (),
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train `net` and write its averaged weights into `folder`. Continues from a checkpoint there.

    `sample_count` is the number of training images. The first epochs, `recipe.low_res_share` of all, take their
    batches from `low_res_batch_fn` if it is given. `loss_parts` are as in Trainer. `callbacks` come after ours.
    Raises DataError when hardly any image can be read, or when the loss becomes NaN.
    """
    trainer = Trainer(net, loss_fn, recipe, target_fn, loss_parts)
    schedule = plan_schedule(recipe, sample_count, low_res_batch_fn is not None)
    for line in validation.skipped:
        log_message(f"skipped: {line}")
    compile_trainer(trainer, net, recipe, schedule.steps, schedule.epoch_steps, options.xla)
    skipped = dict.fromkeys(validation.skipped)
    cluster = options.cluster
    shard = cluster.shard(validation, recipe.batch_size)
    is_finished = bool(cluster.broadcast(np.array(int((folder / WEIGHTS_FILE).exists()))))
    stopping = EarlyStopping(folder, options.early_stopping, schedule.low_res_epochs, cluster)
    keep_time = [KeepTime(options.deadline, schedule.steps)] if options.deadline < inf else []
    checkpoint = [Checkpoint(folder)] if cluster.is_writer else []
    hooks = [StopAtNaN(folder), stopping, *keep_time, *checkpoint, *callbacks, ValidateAverages()]
    if low_res_batch_fn and recipe.batch_size > MAX_UNREHEARSED_BATCH and cluster.processes == 1 and list_gpus():
        rehearse_step(trainer, batch_fn(0), folder)
    for source, end in ((low_res_batch_fn, schedule.low_res_epochs), (batch_fn, schedule.epochs)):
        # Keras' fit ends by averaging the weights. That is for the very end, so each part begins at the checkpoint.
        done = _restore_checkpoint(trainer, folder, cluster)
        is_over = done >= schedule.epochs or stopping.is_over(done)
        if is_over and is_finished:
            return
        if source and done < end and not is_over:
            # Or Keras compiles it for images of any size, and TensorFlow has no upsampling for those.
            trainer.train_function = None
            loader = BatchLoader(source, options.workers, done * schedule.epoch_steps, end * schedule.epoch_steps)
            with explain_memory_errors(trainer, batch_fn, folder) if cluster.processes == 1 else nullcontext():
                _fit_epochs(trainer, loader, shard, folder, schedule, (done, end), cluster, hooks)
            skipped |= loader.skipped
    if not stopping.restore_best(net):
        trainer.optimizer.finalize_variable_values(trainer.trainable_weights)
    if skipped:
        log_message(f"{len(skipped)}{' or more' if len(skipped) >= MAX_SKIPPED else ''} images were skipped")
    if cluster.is_writer:
        with not_distributed(), atomic_path(folder / WEIGHTS_FILE, WEIGHTS_ENDING) as part:
            net.save_weights(part)


def _fit_epochs(
    trainer: Trainer,
    loader: BatchLoader,
    validation: tuple[Any, Any],
    folder: Path,
    schedule: Schedule,
    epochs: tuple[int, int],
    cluster: Cluster,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train from the first of `epochs` up to the second. Raises the loader's own error where Keras wraps it."""
    begin, end = epochs
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not cluster.is_writer) as progress:
        task = progress.add_task("training", total=schedule.steps, completed=begin * schedule.epoch_steps)
        try:
            trainer.fit(
                iter(loader),
                validation_data=validation,
                validation_batch_size=len(cluster.rows(trainer.recipe.batch_size)),
                steps_per_epoch=schedule.epoch_steps,
                epochs=end,
                initial_epoch=begin,
                shuffle=False,
                verbose=0,
                callbacks=[EpochReporter(loader, schedule.epochs, lambda: progress.advance(task)), *callbacks],
            )
        except KeyboardInterrupt:
            log_message(f"stopped; continue with the same command and --resume --out {folder}")
            raise
        except Exception as error:
            if isinstance(loader.error, BrokenProcessPool):
                raise DataError("a worker process was killed; lower --workers") from error
            if loader.error:
                raise loader.error from error
            raise


def compile_trainer(
    trainer: keras.Model, net: keras.Model, recipe: Recipe, steps: int, epoch_steps: int, xla: bool | None = None
) -> None:
    """Give the trainer its optimizer: AdamW with warm-up, a cosine schedule and an average of the weights.

    With `lr_decay` in the recipe: Keras' default Adam, and a learning rate that falls as 1 / (1 + c * epoch). Keras
    scales the loss if the network computes in float16. `xla`: compile the step; None: on JAX, which is 60 times slower
    without it, and for TensorFlow on a GPU.
    """
    if recipe.lr_decay:
        schedule = keras.optimizers.schedules.InverseTimeDecay(
            recipe.learning_rate, epoch_steps, 1 / recipe.lr_decay - 1
        )
        optimizer = keras.optimizers.Adam(schedule)
    else:
        optimizer = _adamw(recipe, steps)
    trainer.compile(optimizer=optimizer, jit_compile="auto" if xla is None else xla)
    trainer.optimizer.build(net.trainable_variables)


def _adamw(recipe: Recipe, steps: int) -> Any:
    warmup = max(1, round(recipe.warmup * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=recipe.learning_rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        use_ema=True,
        ema_momentum=min(recipe.ema_momentum, 1 - 10 / (steps + 20)),  # a short training must not average its start
        global_clipnorm=10.0,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


def _restore_checkpoint(trainer: keras.Model, folder: Path, cluster: Cluster) -> int:
    """Load the checkpoint of process 0 in all, if there is one. Returns the number of epochs that it has seen."""
    state = read_checkpoint_state(folder) if cluster.is_writer else {}
    done = int(cluster.broadcast(np.array(state.get("epochs", 0))))
    if not done:
        return 0
    try:
        with cluster.shared_file(folder / CHECKPOINT_FILE) as file, warnings.catch_warnings():
            # float16 has the scale of the loss in its checkpoints; Keras would go on with a new optimizer.
            warnings.filterwarnings("error", "Skipping variable loading for optimizer")
            trainer.load_weights(file)
    except ValueError as error:
        raise DataError(f"the checkpoint in {folder} does not fit; resume with the same --precision") from error
    return done
