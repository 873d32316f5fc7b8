"""TODO docstring."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pocketsight.train.console import log_message
from pocketsight.train.datasets.loader import BatchLoader
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import CHECKPOINT_FILE, HISTORY_FILE


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
