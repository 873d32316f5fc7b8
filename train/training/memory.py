"""When memory runs out in a training: one line that names a batch size that fits."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.loader import Batch, BatchFn
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import CHECKPOINT_STATE_FILE

# A step of 64 images of 256x320 takes less than the 2 GB of the smallest cards.
MAX_UNREHEARSED_BATCH = 64
GPU_ERRORS = "ResourceExhaustedError", "OutOfMemoryError"  # of TensorFlow and PyTorch; JAX has it in the message only
GPU_MESSAGE = "RESOURCE_EXHAUSTED"


@contextmanager
def explain_memory_errors(trainer: keras.Model, batch_fn: BatchFn, folder: Path) -> Iterator[None]:
    """Turn an error of the block that means "out of memory" into a DataError. Others pass.

    The message names a batch size of which one training step was tried, with the images of `batch_fn`. Weights of the
    trainer are lost then; the checkpoint in `folder` stays.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the memory of the failed step
        kept = f"; the checkpoint stays in {folder}" if (folder / CHECKPOINT_STATE_FILE).exists() else ""
        raise DataError(_describe(trainer, batch_fn, error) + kept) from error


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, is of a memory that is full."""
    while error:
        if isinstance(error, MemoryError) or type(error).__name__ in GPU_ERRORS or GPU_MESSAGE in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _describe(trainer: keras.Model, batch_fn: BatchFn, error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "the memory of this computer is full: train again with fewer --workers, or a smaller --batch-size"
    batch = batch_fn(0)
    size = len(batch.images)
    if not (fitting := find_fitting_size(trainer, batch)):
        return f"out of memory with --batch-size {size}, and no smaller batch could be tried"
    return f"out of memory with --batch-size {size}: train again with --batch-size {fitting}, of which one step fits"


def find_fitting_size(trainer: keras.Model, batch: Batch) -> int:
    """The largest of 1/2, 1/4, 1/8 ... of a batch with which a training step works; 0: none, or another error."""
    size = len(batch.images) // 2
    while size > 1:
        # JAX gives the memory of the old weights to a step, and after an error they are gone. Any will do here.
        for variable in [*trainer.variables, *trainer.optimizer.variables]:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        trainer.train_function = None
        try:
            _train_on(trainer, batch, size)
            return size
        except Exception as error:
            if not is_out_of_memory(error):
                return 0
        size //= 2
    return 0


def _train_on(trainer: keras.Model, batch: Batch, size: int) -> None:
    # Keras makes no tensors of targets here, which the losses need on PyTorch.
    images, targets = (keras.ops.convert_to_tensor(rows[:size]) for rows in (batch.images, batch.targets))
    trainer.train_on_batch(images, targets)


def rehearse_step(trainer: keras.Model, batch: Batch, folder: Path) -> None:
    """Try a step with the largest images of a training that begins with smaller ones, and leave no trace of it.

    Or memory could run out after hours. Raises DataError when it does here.
    """
    variables = [*trainer.variables, *trainer.optimizer.variables]
    before: list[Any] = [keras.ops.convert_to_numpy(variable) for variable in variables]
    with explain_memory_errors(trainer, lambda step: batch, folder):
        _train_on(trainer, batch, len(batch.images))
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
