"""Options of a training that change its speed or its output, not what is learned."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingOptions:
    """Options of `pocketsight train` that no manifest stores and that may change when a training is resumed."""

    workers: int  # processes that prepare images
    tensorboard: bool | None = None  # False: write no event files; True: show them while the training runs
    early_stopping: int = 0  # stop when the validation loss has not improved for so many epochs; 0: never
