"""Keras callbacks of a training: a checkpoint and a log line after each epoch."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pocketsight.device.system.atomic_files import atomic_path, atomic_write
from pocketsight.train.console import log_message
from pocketsight.train.datasets.loader import BatchLoader
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import CHECKPOINT_FILE, CHECKPOINT_STATE_FILE, HISTORY_FILE, WEIGHTS_ENDING
from pocketsight.train.training.distribution import not_distributed

HISTORY_COLUMNS = "epoch", "loss", "val_loss", "learning_rate", "images_per_second", "share_of_waiting"


class Checkpoint(keras.callbacks.Callback):
    """Write weights, optimizer state and losses after each epoch, so that a killed training can be resumed."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._append_history(epoch, logs or {})
        with not_distributed(), atomic_path(self.folder / CHECKPOINT_FILE, WEIGHTS_ENDING) as part:
            self.model.save_weights(part)
        epochs = epoch + 1 + self.model.skipped_steps // self.params["steps"]
        state = {"epochs": epochs, "steps": epochs * self.params["steps"]}
        atomic_write(self.folder / CHECKPOINT_STATE_FILE, json.dumps(state))

    def _append_history(self, epoch: int, logs: dict[str, float]) -> None:
        """Add a row. A row of the same epoch, whose checkpoint was not written, is replaced."""
        path, rows = self.folder / HISTORY_FILE, []
        if epoch and path.exists():
            rows = [row for row in csv.DictReader(path.read_text().splitlines()) if int(row["epoch"]) < epoch]
        text = io.StringIO()
        table = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows([*rows, {name: logs.get(name, "") for name in HISTORY_COLUMNS} | {"epoch": epoch}])
        atomic_write(path, text.getvalue())


class EpochReporter(keras.callbacks.Callback):
    """Log the losses and the waiting time of each epoch, and the images that were skipped.

    Adds learning rate, speed and share of waiting to the logs, for the callbacks after it.
    """

    def __init__(self, loader: BatchLoader, epochs: int, advance: Callable[[], None]) -> None:
        super().__init__()
        self.loader, self.epochs, self.advance = loader, epochs, advance
        self.reported_skips = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.start, self.waited_before = time.perf_counter(), self.loader.wait_seconds

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.advance()

    def on_test_begin(self, logs: Any = None) -> None:
        self.train_seconds = time.perf_counter() - self.start

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        duration = time.perf_counter() - self.start
        waiting = (self.loader.wait_seconds - self.waited_before) / self.train_seconds
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        logs["images_per_second"] = self.params["steps"] * self.model.recipe.batch_size / self.train_seconds
        logs["share_of_waiting"] = waiting
        log_message(
            f"epoch {epoch + 1}/{self.epochs}  loss {logs.get('loss', 0):.4f}  validation {logs.get('val_loss', 0):.4f}"
            f"  {duration:.1f} s, {waiting:.0%} of it waiting for images"
        )
        for line in list(self.loader.skipped)[self.reported_skips :]:
            log_message(f"skipped: {line}")
        self.reported_skips = len(self.loader.skipped)
