"""Keras callbacks of a training: a checkpoint and a log line after each epoch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pocketsight.device.system.atomic_files import atomic_path, atomic_write
from pocketsight.train.console import log_message
from pocketsight.train.datasets.loader import BatchLoader
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import CHECKPOINT_FILE, CHECKPOINT_STATE_FILE, HISTORY_FILE
from pocketsight.train.training.distribution import not_distributed

WEIGHTS_ENDING = ".weights.h5"  # Keras chooses the format by it


class Checkpoint(keras.callbacks.Callback):
    """Write weights, optimizer state and losses after each epoch, so that a killed training can be resumed."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        with (self.folder / HISTORY_FILE).open("a" if epoch else "w") as history:
            if not epoch:
                history.write("epoch,loss,val_loss\n")
            history.write(f"{epoch},{logs.get('loss', 0)},{logs.get('val_loss', 0)}\n")
        with not_distributed(), atomic_path(self.folder / CHECKPOINT_FILE, WEIGHTS_ENDING) as part:
            self.model.save_weights(part)
        atomic_write(self.folder / CHECKPOINT_STATE_FILE, json.dumps({"epochs": epoch + 1}))


class EpochReporter(keras.callbacks.Callback):
    """Log the losses and the waiting time of each epoch, and the images that were skipped."""

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
        duration = time.perf_counter() - self.start
        waiting = (self.loader.wait_seconds - self.waited_before) / duration
        log_message(
            f"epoch {epoch + 1}/{self.epochs}  loss {logs.get('loss', 0):.4f}  validation {logs.get('val_loss', 0):.4f}"
            f"  {duration:.1f} s, {waiting:.0%} of it waiting for images"
        )
        for line in list(self.loader.skipped)[self.reported_skips :]:
            log_message(f"skipped: {line}")
        self.reported_skips = len(self.loader.skipped)
