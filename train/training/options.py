"""Options of a training that change its speed or its output, not what is learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from pocketsight.train.training.distribution import Cluster


@dataclass(frozen=True)
class TrainingOptions:
    """Options of `pocketsight train` that no manifest stores and that may change when a training is resumed."""

    workers: int  # processes that prepare images
    xla: bool | None = None  # compile the step with XLA; None: as Keras chooses
    tensorboard: bool | None = None  # False: write no event files; True: show them while the training runs
    early_stopping: int = 0  # stop when the validation loss has not improved for this number of epochs; 0: never
    deadline: float = inf  # when the last step must be done, as a time of `perf_counter`
    cluster: Cluster = field(default_factory=Cluster)  # the processes that train together
